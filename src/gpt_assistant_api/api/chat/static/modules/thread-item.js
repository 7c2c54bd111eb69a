// One thread of the list: a link, with a name that can be changed.

import { findButton, findElement, fromTemplate, make } from './dom.js';
import { addressOf } from './routes.js';

/**
 * @typedef {{ thread_id: string, title: string }} Heading
 * @typedef {{ rename: (item: ThreadItem, title: string) => void, remove: (item: ThreadItem) => void
 * }} Actions
 */

export class ThreadItem {
  #link;
  #name;
  #actions;

  /**
   * @param {Heading} thread
   * @param {Actions} actions
   */
  constructor(thread, actions) {
    this.#actions = actions;
    this.threadId = thread.thread_id;
    this.element = fromTemplate('thread-template');
    this.#link = findElement(this.element, 'a');
    this.#name = findElement(this.#link, 'span');
    this.#link.setAttribute('href', addressOf(thread.thread_id));
    findButton(this.element, '[data-rename]').addEventListener('click', () => this.#edit());
    findButton(this.element, '[data-delete]').addEventListener('click', () => {
      actions.remove(this);
    });
    this.title = thread.title;
  }

  get title() {
    return this.#name.textContent ?? '';
  }

  set title(title) {
    this.#name.textContent = this.#link.title = title;
    findButton(this.element, '[data-rename]').ariaLabel = `Rename ${title}`;
    findButton(this.element, '[data-delete]').ariaLabel = `Delete ${title}`;
  }

  /** @param {boolean} isCurrent */
  set isCurrent(isCurrent) {
    if (isCurrent) this.#link.setAttribute('aria-current', 'page');
    else this.#link.removeAttribute('aria-current');
  }

  focus() {
    this.#link.focus();
  }

  #edit() {
    const form = make('form', { className: 'rename' });
    const input = make('input');
    input.ariaLabel = 'Title';
    input.dir = 'auto';
    input.maxLength = 200;
    input.value = this.title;
    form.append(input);

    let isOpen = true;
    /** @param {{ save: boolean, focus: boolean }} how */
    const close = ({ save, focus }) => {
      if (!isOpen) return; // taking the input away blurs it, which comes here again
      isOpen = false;
      const title = input.value.trim();
      this.element.classList.remove('editing');
      form.replaceWith(this.#link);
      if (focus) this.focus();
      if (save && title && title !== this.title) this.#actions.rename(this, title);
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      close({ save: true, focus: true });
    });
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault();
      close({ save: false, focus: true });
    });
    input.addEventListener('blur', () => close({ save: true, focus: false }));

    this.element.classList.add('editing');
    this.#link.replaceWith(form);
    input.focus();
    input.select();
  }
}
