// The messages of the open thread, in order: pages of them are added at the top when it is near.

import { findButton, findElement } from './dom.js';
import { MessageView } from './message.js';
import { clearNotices, showError } from './notices.js';
import { StickyScroller } from './scrolling.js';

/**
 * @typedef {import('./api.js').Message} Message
 * @typedef {import('./api.js').MessagePage} MessagePage
 * @typedef {(cursor: string, limit?: number) => Promise<MessagePage>} LoadOlder
 */

const BIG_PAGE = 100;

export class MessageLog extends HTMLElement {
  /** @type {Map<number, MessageView>} */
  #views = new Map();
  /** @type {string | null} */
  #cursor = null;
  /** @type {LoadOlder | null} */
  #loadOlder = null;
  /** @type {Promise<void> | null} */
  #loading = null;
  #log = findElement(this, '.log');
  #above = findElement(this, '.above');
  #below = findElement(this, '.below');
  #welcome = findElement(this, '.welcome');
  #scroller = new StickyScroller(
    findElement(this, '.scroller'),
    this.#log,
    findButton(this, '.jump'),
  );
  /** @type {IntersectionObserver | null} */
  #nearTop = null;
  /** @type {import('./message.js').Actions | null} */
  actions = null;

  connectedCallback() {
    this.#nearTop = new IntersectionObserver(
      ([entry]) => entry?.isIntersecting && void this.#older().catch(() => {}),
      { root: this.#scroller.element, rootMargin: '1200px 0px 0px' },
    );
  }

  /** Show nothing, or a welcome. */
  clear({ welcome = false } = {}) {
    this.#views.clear();
    this.#log.replaceChildren();
    this.#cursor = null;
    this.#loading = null;
    this.#showWelcome(welcome);
    this.clearError();
  }

  /**
   * Show the newest page of a thread.
   * @param {MessagePage} page
   * @param {LoadOlder} loadOlder
   */
  show(page, loadOlder) {
    this.clear();
    this.#loadOlder = loadOlder;
    this.#cursor = page.next_cursor;
    for (const message of page.messages) this.#add(message);
    this.#scroller.toEnd();
    this.#watchTop();
  }

  /** @param {boolean} shown */
  #showWelcome(shown) {
    this.#welcome.hidden = !shown;
    this.toggleAttribute('data-empty', shown);
  }

  /** @param {Message} message */
  #add(message) {
    this.#showWelcome(false);
    this.#log.append(this.#makeView(message).element);
  }

  /**
   * Show a question and the beginning of its answer, in place of what followed the same parent.
   * @param {Message} question
   * @param {Message} answer
   */
  appendTurn(question, answer) {
    const shown = this.#views.get(question.message_id);
    if (shown) {
      shown.update(question);
      this.#truncateAfter(shown.element);
    } else {
      const parent = this.#views.get(question.parent_id ?? 0)?.element;
      if (question.parent_id === null) this.#log.replaceChildren();
      else if (parent) this.#truncateAfter(parent);
      this.#add(question);
    }
    this.#add(answer);
    this.#scroller.toEnd();
  }

  /** @param {number} messageId */
  view(messageId) {
    const view = this.#views.get(messageId);
    return view?.element.isConnected ? view : undefined;
  }

  /**
   * Return a message that was seen in this thread, on whatever branch.
   * @param {number} messageId
   */
  seen(messageId) {
    return this.#views.get(messageId)?.message ?? null;
  }

  /** @returns {MessageView[]} */
  get views() {
    return [...this.#views.values()].filter((view) => view.element.isConnected);
  }

  /**
   * Bring a message into view, loading older pages until it is there. Tells whether it is.
   * @param {number} messageId
   */
  async reveal(messageId) {
    this.#scroller.release();
    await this.#loadBackTo(messageId);
    const view = this.view(messageId);
    view?.reveal();
    return view !== undefined;
  }

  /**
   * Load older pages until a message is there, or would have been: ids ascend along a branch.
   * @param {number} messageId
   */
  async #loadBackTo(messageId) {
    const { element } = this.#scroller;
    element.ariaBusy = 'true';
    try {
      await this.#loading;
      if (idOf(this.#log.firstElementChild) > messageId) await this.#older(messageId);
    } finally {
      element.ariaBusy = 'false';
    }
  }

  /** @param {number} messageId */
  offsetOf(messageId) {
    return this.view(messageId)?.element.getBoundingClientRect().top ?? 0;
  }

  /**
   * Put a message where another one was on the screen.
   * @param {number} messageId
   * @param {number} offset
   */
  async putAt(messageId, offset) {
    await this.#loadBackTo(messageId);
    this.#scroller.release();
    this.#scroller.element.scrollTop += this.offsetOf(messageId) - offset;
  }

  /**
   * @param {unknown} error
   * @param {() => unknown} tryAgain
   */
  showError(error, tryAgain) {
    showError(this.#below, error, tryAgain);
  }

  clearError() {
    clearNotices(this.#above);
    clearNotices(this.#below);
  }

  /** @param {number} [backTo] Load every page back to this message, not one alone. */
  #older(backTo) {
    if (this.#cursor === null || !this.#loadOlder) return Promise.resolve();
    this.#loading ??= this.#loadPages(this.#cursor, this.#loadOlder, backTo);
    return this.#loading;
  }

  /**
   * Load pages and show them at once: what is done for every page grows with all that is shown.
   * @param {string} cursor
   * @param {LoadOlder} load
   * @param {number} [backTo]
   */
  async #loadPages(cursor, load, backTo = Infinity) {
    const first = this.#log.firstElementChild;
    const limit = backTo === Infinity ? undefined : BIG_PAGE;
    /** @type {Message[]} */
    const messages = [];
    /** @type {string | null} */
    let next = cursor;
    try {
      do {
        const page = await load(next, limit);
        if (first !== this.#log.firstElementChild || !first) return; // another thread by now
        messages.unshift(...page.messages);
        next = page.next_cursor;
      } while (next !== null && (messages[0]?.message_id ?? 0) > backTo);
      const views = messages.map((message) => this.#makeView(message));
      this.#scroller.insertAbove(first, () => {
        this.#log.prepend(...views.map((view) => view.element));
      });
      for (const view of this.views) view.refreshQuote();
      this.#cursor = next;
      this.#loading = null;
      this.#watchTop();
    } catch (error) {
      this.#loading = null;
      showError(this.#above, error, () => void this.#older().catch(() => {}));
      throw error;
    }
  }

  /** Ask the observer again: it tells changes only, and the top may still be near. */
  #watchTop() {
    this.#nearTop?.unobserve(this.#above);
    this.#nearTop?.observe(this.#above);
  }

  /** @param {Message} message */
  #makeView(message) {
    if (!this.actions) throw new Error('The log has no actions yet');
    const view = new MessageView(message, this.actions);
    this.#views.set(message.message_id, view);
    return view;
  }

  /** @param {Element} element */
  #truncateAfter(element) {
    while (element.nextElementSibling) element.nextElementSibling.remove();
  }
}

/** @param {Element | null} element */
function idOf(element) {
  return element instanceof HTMLElement ? Number(element.dataset.messageId) : 0;
}
