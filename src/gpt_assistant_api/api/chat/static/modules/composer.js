// Where a message is written: text, pictures, a quote; Send, or Stop while an answer is given.

import { PictureTray } from './attachments.js';
import { plainText } from './blocks.js';
import { announce, find, findButton, findElement, growWithText, isPlainEnter } from './dom.js';
import { clearNotices, showError } from './notices.js';

/**
 * @typedef {import('./api.js').Message} Message
 * @typedef {import('./api.js').Question} Question
 * @typedef {{ text: string, pictures: import('./attachments.js').Chip[],
 *   quoted: Message | null }} Draft
 */

/** @type {Draft} */
const NOTHING = { text: '', pictures: [], quoted: null };

export class MessageComposer extends HTMLElement {
  #form = find(this, 'form', HTMLFormElement);
  #area = find(this, 'textarea', HTMLTextAreaElement);
  #tray = find(this, 'picture-tray', PictureTray);
  #send = findButton(this, '[data-send]');
  #stop = findButton(this, '[data-stop]');
  #quotation = findElement(this, '.quoted');
  #grow = growWithText(this.#area);
  #sending = false;
  #working = false;
  /** @type {Map<string, Draft>} By the threads that they are for; a new one's has no name. */
  #drafts = new Map();
  #draft = '';
  /** @type {Message | null} */
  #quoted = null;

  /** @type {(question: Question) => Promise<void>} */
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
    this.#putAside();
    for (const name of this.#drafts.keys()) this.#drop(name);
    this.#draft = '';
    this.#takeUp();
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
    this.#setQuoted(message);
    this.focus();
  }

  /**
   * Keep what is written for the thread that is left, and take up what was written for another.
   * @param {string} name
   */
  switchTo(name) {
    if (name === this.#draft) return;
    this.#putAside();
    this.#draft = name;
    this.#takeUp();
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
      const question = await this.#written();
      if (!question) return;
      await this.onSend(question);
      this.#putAside();
      this.#drop(draft);
      this.#takeUp();
    } catch (error) {
      if (draft === this.#draft) showError(this, error, () => void this.#submit());
    } finally {
      this.#setSending(false);
    }
  }

  /** Return what is to be sent once the pictures are there, or null if nothing is left of it. */
  async #written() {
    const prompt = this.#area.value; // the reader may go to another thread while pictures upload
    const thread = this.#draft && { thread_id: this.#draft };
    const quote = this.#quoted && { reply_to: this.#quoted.message_id };
    const fileIds = await this.#tray.uploaded();
    if (!prompt.trim() && fileIds.length === 0) return null;
    return { prompt, file_ids: fileIds, ...thread, ...quote };
  }

  #putAside() {
    const draft = { text: this.#area.value, pictures: this.#tray.take(), quoted: this.#quoted };
    this.#drafts.set(this.#draft, draft);
  }

  #takeUp() {
    const { text, pictures, quoted } = this.#drafts.get(this.#draft) ?? NOTHING;
    this.#area.value = text;
    this.#tray.put(pictures);
    this.#setQuoted(quoted);
    clearNotices(this);
    this.#update();
    this.#grow();
  }

  /** @param {string} name */
  #drop(name) {
    for (const chip of this.#drafts.get(name)?.pictures ?? []) chip.dispose();
    this.#drafts.delete(name);
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
    if (!this.#quoted) return;
    this.#setQuoted(null);
    this.focus();
  }

  /** @param {Message | null} message */
  #setQuoted(message) {
    this.#quoted = message;
    this.#quotation.hidden = !message;
    const text = message && plainText(message).slice(0, 300);
    findElement(this.#quotation, 'p').textContent = text || 'A picture';
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
