// The user's threads, newest activity first, page after page.

import { confirmDelete } from './dialogs.js';
import { find, findElement } from './dom.js';
import { clearNotices, showError } from './notices.js';
import { ThreadItem } from './thread-item.js';

/**
 * @typedef {import('./api.js').Api} Api
 * @typedef {import('./thread-item.js').Heading} Heading
 */

export class ThreadList extends HTMLElement {
  /** @type {Map<string, ThreadItem>} */
  #items = new Map();
  #list = find(this, 'ul', HTMLUListElement);
  #scroller = findElement(this, 'nav');
  #empty = findElement(this, '.empty');
  /** @type {Api | null} */
  #api = null;
  /** @type {string | null} */
  #cursor = null;
  #isLoading = false;
  #hasFailed = false;
  /** @type {string | null} */
  #currentId = null;

  /** @type {(thread: Heading) => void} */
  onRenamed = () => {};
  /** @type {(threadId: string) => void} */
  onDeleted = () => {};

  connectedCallback() {
    this.#scroller.addEventListener('scroll', () => this.#loadNearEnd(), { passive: true });
  }

  /**
   * Show the threads of a user.
   * @param {Api} api
   */
  async useApi(api) {
    this.clear();
    this.#api = api;
    await this.#load(api);
  }

  clear() {
    this.#api = null;
    this.#items.clear();
    this.#list.replaceChildren();
    this.#cursor = null;
    this.#isLoading = false;
    this.#empty.hidden = true;
    clearNotices(this);
  }

  /** @param {string | null} threadId */
  set currentId(threadId) {
    this.#currentId = threadId;
    for (const [id, item] of this.#items) item.isCurrent = id === threadId;
  }

  /**
   * Show that something happened in a thread: it is the first one now.
   * @param {Heading} thread
   */
  raise(thread) {
    const item = this.#put(thread);
    if (this.#list.firstElementChild !== item.element) this.#list.prepend(item.element);
    this.#empty.hidden = true;
  }

  /** @param {Api} api */
  async #load(api) {
    if (this.#isLoading) return;
    this.#isLoading = true;
    this.#hasFailed = false;
    try {
      const page = await api.listThreads(this.#cursor);
      if (api !== this.#api) return; // another user by now
      for (const thread of page.threads) {
        const isNew = !this.#items.has(thread.thread_id);
        const item = this.#put(thread);
        if (isNew) this.#list.append(item.element);
      }
      this.#cursor = page.next_cursor;
      this.#empty.hidden = this.#items.size > 0;
    } catch (error) {
      this.#hasFailed = true; // scrolling does not try again, the reader does
      if (api === this.#api) showError(this, error, () => void this.#load(api));
    } finally {
      if (api === this.#api) this.#isLoading = false;
    }
    this.#loadNearEnd();
  }

  #loadNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    const isNear = clientHeight > 0 && scrollHeight - scrollTop - clientHeight < 400;
    const mayLoad = this.#cursor !== null && !this.#hasFailed;
    if (isNear && mayLoad && this.#api) void this.#load(this.#api);
  }

  /** @param {Heading} thread */
  #put(thread) {
    let item = this.#items.get(thread.thread_id);
    if (item) item.title = thread.title;
    else {
      item = new ThreadItem(thread, {
        rename: (renamed, title) => void this.#rename(renamed, title),
        remove: (removed) => void this.#remove(removed),
      });
      this.#items.set(thread.thread_id, item);
    }
    item.isCurrent = thread.thread_id === this.#currentId;
    return item;
  }

  /**
   * @param {ThreadItem} item
   * @param {string} title
   */
  async #rename(item, title) {
    const before = item.title;
    item.title = title;
    clearNotices(this);
    try {
      const thread = await this.#api?.updateThread(item.threadId, { title });
      if (thread) this.onRenamed(thread);
    } catch (error) {
      item.title = before;
      showError(this, error, () => void this.#rename(item, title));
    }
  }

  /** @param {ThreadItem} item */
  async #remove(item) {
    if (await confirmDelete(item.title)) await this.#delete(item);
  }

  /** @param {ThreadItem} item */
  async #delete(item) {
    clearNotices(this);
    try {
      await this.#api?.deleteThread(item.threadId);
    } catch (error) {
      showError(this, error, () => void this.#delete(item));
      return;
    }
    const next = item.element.nextElementSibling ?? item.element.previousElementSibling;
    item.element.remove();
    this.#items.delete(item.threadId);
    this.#empty.hidden = this.#items.size > 0;
    next?.querySelector('a')?.focus();
    this.onDeleted(item.threadId);
    this.#loadNearEnd();
  }
}
