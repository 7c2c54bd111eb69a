// The pictures of the message that is being written: uploaded at once, shown as chips.

import { announce, find, findElement, fromTemplate } from './dom.js';
import { showError } from './notices.js';
import { ProblemError } from './problems.js';

/** @typedef {import('./api.js').StoredFile} StoredFile */

const CHANGE = 'change';

export class PictureTray extends HTMLElement {
  /** @type {Set<Chip>} */
  #chips = new Set();
  #list = findElement(this, 'ul');
  /** @type {import('./api.js').Api | null} */
  api = null;

  /** @param {File} file */
  add(file) {
    const api = this.api;
    if (!api) return;
    const chip = new Chip(file, api, {
      changed: () => this.#changed(),
      removed: () => this.#remove(chip),
    });
    this.#chips.add(chip);
    this.#list.append(chip.element);
    chip.upload();
    this.#changed();
  }

  /** Wait for the uploads and return the ids of the pictures that the server took. */
  async uploaded() {
    const files = await Promise.all([...this.#chips].map((chip) => chip.stored));
    return files.filter((file) => file !== null).map((file) => file.file_id);
  }

  /** Take the pictures off, to be put on again or disposed of. */
  take() {
    const chips = [...this.#chips];
    this.#chips.clear();
    this.#list.replaceChildren();
    this.#changed();
    return chips;
  }

  /** @param {Chip[]} chips */
  put(chips) {
    for (const chip of chips) this.#chips.add(chip);
    this.#list.replaceChildren(...chips.map((chip) => chip.element));
    this.#changed();
  }

  get isEmpty() {
    return [...this.#chips].every((chip) => chip.isRefused);
  }

  /** @param {Chip} chip */
  #remove(chip) {
    this.#chips.delete(chip);
    chip.dispose();
    announce(`Removed ${chip.file.name}`);
    this.#changed();
  }

  #changed() {
    this.#list.hidden = this.#chips.size === 0;
    this.dispatchEvent(new Event(CHANGE));
  }
}

/** One picture on its way. */
export class Chip {
  #api;
  #hooks;
  #abort = new AbortController();
  #preview;
  isRefused = false;
  /** @type {Promise<StoredFile | null>} */
  stored = Promise.resolve(null);

  /**
   * @param {File} file
   * @param {import('./api.js').Api} api
   * @param {{ changed: () => void, removed: () => void }} hooks
   */
  constructor(file, api, hooks) {
    this.file = file;
    this.#api = api;
    this.#hooks = hooks;
    this.#preview = URL.createObjectURL(file);
    this.element = fromTemplate('chip-template');
    const image = find(this.element, 'img', HTMLImageElement);
    const remove = find(this.element, 'button', HTMLButtonElement);
    image.addEventListener('error', () => image.classList.add('broken'));
    image.src = this.#preview;
    findElement(this.element, '.name').textContent = file.name;
    remove.ariaLabel = remove.title = `Remove ${file.name}`;
    remove.addEventListener('click', () => hooks.removed());
  }

  upload() {
    this.isRefused = false;
    this.element.dataset.state = 'uploading';
    const bar = find(this.element, 'progress', HTMLProgressElement);
    bar.ariaLabel = `Upload of ${this.file.name}`;
    const progress = (/** @type {number} */ share) => (bar.value = share);
    this.stored = this.#api.uploadFile(this.file, progress, this.#abort.signal).then(
      (stored) => {
        this.element.dataset.state = 'stored';
        return stored;
      },
      (error) => this.#refuse(error),
    );
  }

  dispose() {
    this.#abort.abort();
    URL.revokeObjectURL(this.#preview);
    this.element.remove();
  }

  /** @param {unknown} error */
  #refuse(error) {
    const isFinal = error instanceof ProblemError && !error.isTemporary;
    const again = () => {
      this.upload();
      this.#hooks.changed();
    };
    this.isRefused = true;
    this.element.dataset.state = 'refused';
    showError(this.element, error, isFinal ? null : again);
    this.#hooks.changed();
    return null;
  }
}
