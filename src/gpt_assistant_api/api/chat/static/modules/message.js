// One message: its text, pictures, quote, state and what can be done with it.

import { Blocks, copyText, plainText } from './blocks.js';
import { find, findButton, findElement, fromTemplate, make } from './dom.js';
import { editMessage } from './editor.js';
import { clearNotices, showError } from './notices.js';

/**
 * @typedef {import('./api.js').Message} Message
 * @typedef {import('./api.js').StoredFile} StoredFile
 * @typedef {{
 *   regenerate: (view: MessageView) => void,
 *   resend: (view: MessageView, prompt: string) => Promise<void>,
 *   choose: (view: MessageView, versionId: number) => void,
 *   reply: (message: Message) => void,
 *   goTo: (messageId: number) => void,
 *   enlarge: (file: StoredFile) => void,
 *   quoted: (messageId: number) => Message | null,
 * }} Actions
 */

// Made once: each is dearer than all the rest of a message.
const WHOLE_TIME = new Intl.DateTimeFormat([], { dateStyle: 'long', timeStyle: 'short' });
const TIME_OF_DAY = new Intl.DateTimeFormat([], { hour: 'numeric', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short' });

const CONTINUES = 'The connection is lost. The answer goes on; trying to get it…';

export class MessageView {
  #actions;
  #blocks;

  /**
   * @param {Message} message
   * @param {Actions} actions
   */
  constructor(message, actions) {
    this.#actions = actions;
    this.message = message;
    this.element = fromTemplate('message-template');
    this.#blocks = new Blocks(findElement(this.element, '.content'));
    this.#bind();
    this.update(message);
  }

  /**
   * Show the message as it is now.
   * @param {Message} message
   */
  update(message) {
    this.message = message;
    const { dataset } = this.element;
    dataset.messageId = String(message.message_id);
    dataset.role = message.role;
    this.element.ariaLabel = message.role === 'user' ? 'You' : 'Assistant';
    if (message.role === 'user') this.#blocks.element.textContent = message.content;
    else if (message.content_html !== null) this.#blocks.show(message.content_html);
    this.#showPictures(message.files);
    this.#showQuote();
    this.#showVersions();
    this.#showTime();
    this.#showStatus(message.status);
    const saysNothing = message.role === 'assistant' && !message.content;
    for (const name of ['copy', 'reply']) {
      findElement(this.element, `[data-${name}]`).hidden = saysNothing;
    }
  }

  /**
   * @param {number} index
   * @param {string} html
   */
  setBlock(index, html) {
    this.#blocks.set(index, html);
    this.#showStatus(this.message.status);
  }

  /** The answer begins again. */
  restart() {
    this.#blocks.clear();
    this.#showStatus('in_progress');
  }

  /** @param {boolean} connected */
  showConnection(connected) {
    if (!connected) this.#say(CONTINUES);
    else this.#showStatus(this.message.status);
  }

  /**
   * @param {unknown} error
   * @param {(() => unknown) | null} tryAgain
   */
  showError(error, tryAgain) {
    showError(this.element, error, tryAgain);
  }

  clearError() {
    clearNotices(this.element);
  }

  /** Show the quote again, now that the quoted message may be known. */
  refreshQuote() {
    this.#showQuote();
  }

  /** Bring the message into view, for the eye and for the keyboard. */
  reveal() {
    this.element.scrollIntoView({ block: 'center' });
    this.element.focus({ preventScroll: true });
    this.element.classList.remove('found');
    requestAnimationFrame(() => {
      this.element.scrollIntoView({ block: 'center' }); // heights are known by now
      this.element.classList.add('found');
    });
  }

  /** The reader was switching versions and may go on with it. */
  focusVersions() {
    const buttons = this.element.querySelectorAll('.versions button:not(:disabled)');
    const last = [...buttons].at(-1);
    if (last instanceof HTMLElement) last.focus({ preventScroll: true });
  }

  /** @param {Message['status']} status */
  #showStatus(status) {
    const working = status === 'in_progress';
    this.element.dataset.status = status;
    this.element.ariaBusy = String(working);
    this.element.classList.toggle('waiting', working && this.#blocks.isEmpty);
    findElement(this.element, '.actions').hidden = working;
    this.#say(status === 'incomplete' ? 'Stopped before the end.' : '');
  }

  /** @param {string} text */
  #say(text) {
    const state = findElement(this.element, '.state');
    state.textContent = text;
    state.hidden = !text;
  }

  /** @param {StoredFile[]} files */
  #showPictures(files) {
    const list = findElement(this.element, '.pictures');
    const ids = files.map((file) => file.file_id).join();
    list.hidden = files.length === 0;
    if (list.dataset.ids === ids) return;
    list.dataset.ids = ids;
    list.replaceChildren(...files.map((file) => this.#makePicture(file)));
  }

  /** @param {StoredFile} file */
  #makePicture(file) {
    const button = make('button', { className: 'picture' });
    const image = make('img');
    button.type = 'button';
    button.ariaLabel = `Enlarge ${file.filename}`;
    image.alt = '';
    image.loading = 'lazy';
    image.src = file.thumbnail_url;
    const scale = Math.min(1, 256 / Math.max(file.width, file.height));
    image.width = Math.max(1, Math.round(file.width * scale));
    image.height = Math.max(1, Math.round(file.height * scale));
    button.append(image);
    button.addEventListener('click', () => this.#actions.enlarge(file));
    return button;
  }

  #showQuote() {
    const { role, reply_to: quotedId } = this.message;
    const button = findElement(this.element, '.quote');
    button.hidden = role !== 'user' || quotedId === null;
    if (button.hidden || quotedId === null) return;
    const quoted = this.#actions.quoted(quotedId);
    button.textContent = (quoted && plainText(quoted).slice(0, 300)) || 'An earlier message';
    button.title = 'Go to the quoted message';
  }

  #showVersions() {
    const { index, count } = this.message.versions;
    findElement(this.element, '.versions').hidden = count < 2;
    findElement(this.element, '[data-testid]').textContent = count > 1 ? `${index}/${count}` : '';
    findButton(this.element, '[data-previous]').disabled = index <= 1;
    findButton(this.element, '[data-next]').disabled = index >= count;
  }

  #showTime() {
    const time = find(this.element, 'time', HTMLTimeElement);
    const moment = new Date(this.message.message_time);
    const today = moment.toDateString() === new Date().toDateString();
    time.dateTime = this.message.message_time;
    time.title = WHOLE_TIME.format(moment);
    time.textContent = (today ? TIME_OF_DAY : DAY).format(moment);
  }

  #bind() {
    const isUser = this.message.role === 'user';
    /**
     * @param {string} selector
     * @param {(button: HTMLElement) => unknown} action
     */
    const on = (selector, action) => {
      const button = findElement(this.element, selector);
      button.addEventListener('click', () => action(button));
      return button;
    };
    on('[data-copy]', (button) => copyText(this.message.content, button));
    on('[data-reply]', () => this.#actions.reply(this.message));
    on('[data-previous]', () => this.#choose(-1));
    on('[data-next]', () => this.#choose(1));
    on('.quote', () => this.#actions.goTo(this.message.reply_to ?? 0));
    on('[data-edit]', () => this.#edit()).hidden = !isUser;
    on('[data-regenerate]', () => this.#actions.regenerate(this)).hidden = isUser;
  }

  #edit() {
    editMessage(this.element, this.message.content, (prompt) => this.#actions.resend(this, prompt));
  }

  /** @param {number} step */
  #choose(step) {
    const { ids, index } = this.message.versions;
    const versionId = ids[index - 1 + step];
    if (versionId !== undefined) this.#actions.choose(this, versionId);
  }
}
