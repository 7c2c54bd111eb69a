// Search in the user's messages, while the words are written.

import { find, findButton, findElement, make } from './dom.js';
import { clearNotices, showError } from './notices.js';
import { addressOf } from './routes.js';

/**
 * @typedef {import('./api.js').Api} Api
 * @typedef {import('./api.js').Found} Found
 */

const PAUSE_MS = 250;

export class SearchBox extends HTMLElement {
  #input = find(this, 'input', HTMLInputElement);
  #empty = findButton(this, '[data-clear]');
  #results = findElement(this, '.results');
  #list = findElement(this, 'ul');
  #hint = findElement(this, '.hint');
  #more = findButton(this, '.more');
  #timer = 0;
  #latest = new AbortController();
  /** @type {string | null} */
  #cursor = null;
  /** @type {Api | null} */
  #api = null;

  connectedCallback() {
    this.#input.addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#begin(), PAUSE_MS);
      this.#empty.hidden = !this.#input.value;
    });
    find(this, 'form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      clearTimeout(this.#timer);
      this.#begin();
    });
    this.#input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#input.value) return;
      event.preventDefault();
      this.clear();
    });
    this.#empty.addEventListener('click', () => {
      this.clear();
      this.#input.focus();
    });
    this.#more.addEventListener('click', () => void this.#search());
  }

  /** @param {Api} api */
  useApi(api) {
    this.#api = api;
    this.clear();
  }

  clear() {
    this.#input.value = '';
    this.#begin();
  }

  #begin() {
    this.#latest.abort();
    this.#latest = new AbortController();
    this.#cursor = null;
    this.#list.replaceChildren();
    this.#hint.textContent = '';
    this.#more.hidden = true;
    clearNotices(this);
    this.#results.hidden = !this.#words;
    this.#empty.hidden = !this.#input.value;
    this.toggleAttribute('data-searching', Boolean(this.#words));
    if (this.#words) void this.#search();
  }

  async #search() {
    const { signal } = this.#latest;
    try {
      const page = await this.#api?.search(this.#words, this.#cursor, signal);
      if (!page || signal.aborted) return;
      this.#list.append(...page.results.map((found) => makeResult(found, this.#words)));
      this.#cursor = page.next_cursor;
      this.#more.hidden = page.next_cursor === null;
      this.#hint.textContent = this.#list.children.length ? '' : 'Nothing was found.';
    } catch (error) {
      if (!signal.aborted) showError(this, error, () => void this.#search());
    }
  }

  get #words() {
    return this.#input.value.trim();
  }
}

/**
 * @param {Found} found
 * @param {string} words
 */
function makeResult({ message, thread_title: title, snippet }, words) {
  const item = make('li');
  const link = make('a');
  link.href = addressOf(message.thread_id, message.message_id);
  const text = make('span');
  text.append(...marked(snippet, words));
  link.append(make('strong', { text: title }), text);
  for (const part of link.children) part.setAttribute('dir', 'auto');
  item.append(link);
  return item;
}

/**
 * Return a text in parts, with a mark around the beginning of each word that was searched for.
 * @param {string} text
 * @param {string} words
 */
function marked(text, words) {
  const beginnings = words.match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  if (beginnings.length === 0) return [text];
  const parts = text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${beginnings.join('|')})`, 'giu'));
  return parts.map((part, index) => (index % 2 ? make('mark', { text: part }) : part));
}
