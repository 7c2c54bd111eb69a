// A scroller that stays at its end while the reader is there, and nowhere else.

const NEAR_PX = 48;
const KEEPS_PLACE = CSS.supports('overflow-anchor', 'auto');

export class StickyScroller {
  #sticks = true;
  #top = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} content
   * @param {HTMLButtonElement} jump The button that leads to the end.
   */
  constructor(scroller, content, jump) {
    this.element = scroller;
    this.jump = jump;
    scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    jump.addEventListener('click', () => this.toEnd());
    const observer = new ResizeObserver(() => this.#resized());
    observer.observe(scroller);
    observer.observe(content);
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#sticks = true;
    this.#resized();
  }

  /** Leave the end, to show something else. */
  release() {
    this.#sticks = false;
  }

  /**
   * Put something above what is shown, which does not move.
   * @param {Element} shown
   * @param {() => void} insert
   */
  insertAbove(shown, insert) {
    // At the very top a browser would rather show what is new.
    if (this.element.scrollTop < 1) this.element.scrollTop = 1;
    const before = shown.getBoundingClientRect().top;
    insert();
    if (!KEEPS_PLACE) this.element.scrollTop += shown.getBoundingClientRect().top - before;
  }

  #resized() {
    if (this.#sticks) this.element.scrollTop = this.element.scrollHeight;
    this.#showJump();
  }

  #scrolled() {
    const { scrollTop } = this.element;
    if (this.#distance < NEAR_PX) this.#sticks = true;
    else if (scrollTop < this.#top) this.#sticks = false; // what grows moves the end, not the reader
    this.#top = scrollTop;
    this.#showJump();
  }

  #showJump() {
    this.jump.hidden = this.#sticks || this.#distance < 4 * NEAR_PX;
  }

  get #distance() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight;
  }
}
