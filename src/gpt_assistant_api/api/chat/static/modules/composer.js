// Where a message is written: text, pictures, a quote; Send, or Stop while an answer is given.

import { PictureTray } from './attachments.js';
import { announce, find, findButton, findElement, growWithText, isPlainEnter } from './dom.js';
import { clearNotices, showError } from './notices.js';

/**
 * @typedef {import('./api.js').Message} Message
 * @typedef {{ prompt: string, file_ids: string[], reply_to?: number }} Written
 */

export class MessageComposer extends HTMLElement {
  #form = find(this, 'form', HTMLFormElement);
  #area = find(this, 'textarea', HTMLTextAreaElement);
  #tray = find(this, 'picture-tray', PictureTray);
  #send = findButton(this, '[data-send]');
  #stop = findButton(this, '[data-stop]');
  #quoted = findElement(this, '.quoted');
  #grow = growWithText(this.#area);
  #sending = false;
  #working = false;
  /** @type {Map<string, string>} */
  #drafts = new Map();
  #draft = '';
  /** @type {number | null} */
  #quotedId = null;

  /** @type {(written: Written) => Promise<void>} */
  onSend = async () => {};
  /** @type {() => Promise<void>} */
  onStop = async () => {};

  connectedCallback() {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#area.addEventListener('keydown', (event) => {
      if (isPlainEnter(event)) {
        event.preventDefault();
        void this.#submit();
      } else if (event.key === 'Escape') this.#removeQuote();
    });
    this.#area.addEventListener('input', () => this.#update());
    this.#area.addEventListener('paste', (event) => this.#pasted(event));
    this.#tray.addEventListener('change', () => this.#update());
    this.#stop.addEventListener('click', () => void this.#cancel());
    findButton(this, '.quoted button').addEventListener('click', () => this.#removeQuote());
    this.#bindFiles();
    this.#update();
  }

  /** @param {import('./api.js').Api} api */
  useApi(api) {
    this.forget();
    this.#tray.api = api;
  }

  /** Drop everything that was written: whoever comes next may be somebody else. */
  forget() {
    this.#drafts.clear();
    this.#draft = '';
    this.#area.value = '';
    this.#tray.clear();
    this.#removeQuote();
    clearNotices(this);
    this.#update();
    this.#grow();
  }

  /**
   * Whether an answer is being given.
   * @param {boolean} working
   */
  set working(working) {
    const hadFocus = this.contains(document.activeElement);
    this.#working = working;
    this.#send.hidden = working;
    this.#stop.hidden = !working;
    this.#stop.disabled = false;
    if (hadFocus) this.#area.focus();
  }

  /** @param {boolean} offline */
  set offline(offline) {
    findElement(this, '.offline').hidden = !offline;
  }

  /** @param {Iterable<File>} files */
  attach(files) {
    for (const file of files) this.#tray.add(file);
    this.focus();
  }

  /** @param {Message} message */
  quote(message) {
    this.#quotedId = message.message_id;
    this.#quoted.hidden = false;
    findElement(this.#quoted, 'p').textContent = message.content.slice(0, 300) || 'A picture';
    this.focus();
  }

  /**
   * Keep what is written for the thread that is left, and take up what was written for another.
   * @param {string} name
   */
  switchTo(name) {
    if (name === this.#draft) return;
    this.#drafts.set(this.#draft, this.#area.value);
    this.#draft = name;
    this.#area.value = this.#drafts.get(name) ?? '';
    this.#removeQuote();
    clearNotices(this);
    this.#update();
    this.#grow();
  }

  focus() {
    this.#area.focus({ preventScroll: true });
  }

  async #submit() {
    if (this.#sending || this.#working || this.#isEmpty) return;
    const draft = this.#draft;
    this.#setSending(true);
    clearNotices(this);
    try {
      const written = await this.#written();
      if (!written) return;
      await this.onSend(written);
      this.#drafts.delete(draft);
      this.#area.value = this.#drafts.get(this.#draft) ?? '';
      this.#tray.clear();
      this.#removeQuote();
    } catch (error) {
      showError(this, error, () => void this.#submit());
    } finally {
      this.#setSending(false);
      this.#grow();
    }
  }

  /** Return what is to be sent once the pictures are there, or null if nothing is left of it. */
  async #written() {
    const fileIds = await this.#tray.uploaded();
    if (!this.#area.value.trim() && fileIds.length === 0) return null;
    const quote = this.#quotedId === null ? {} : { reply_to: this.#quotedId };
    return { prompt: this.#area.value, file_ids: fileIds, ...quote };
  }

  async #cancel() {
    this.#stop.disabled = true;
    announce('Stopping');
    try {
      await this.onStop();
    } catch (error) {
      this.#stop.disabled = false;
      showError(this, error, () => void this.#cancel());
    }
  }

  #removeQuote() {
    if (this.#quotedId === null) return;
    this.#quotedId = null;
    this.#quoted.hidden = true;
    this.focus();
  }

  /** @param {boolean} sending */
  #setSending(sending) {
    this.#sending = sending;
    this.#area.readOnly = sending;
    this.#form.ariaBusy = String(sending);
    this.#update();
  }

  #update() {
    this.#send.disabled = this.#sending || this.#isEmpty;
  }

  get #isEmpty() {
    return !this.#area.value.trim() && this.#tray.isEmpty;
  }

  #bindFiles() {
    const input = find(this, 'input[type=file]', HTMLInputElement);
    findButton(this, '[data-attach]').addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      this.attach(input.files ?? []);
      input.value = '';
    });
  }

  /** @param {ClipboardEvent} event */
  #pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    this.attach(files);
  }
}
