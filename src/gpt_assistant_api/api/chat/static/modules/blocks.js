// An answer as the server renders it: blocks of sanitised HTML. The only place that sets HTML.

import { announce, flashIcon, make, makeIcon } from './dom.js';

/** @typedef {import('./api.js').Message} Message */

/** The text of one answer; while it grows, only what changes is replaced. */
export class Blocks {
  /** @type {string[]} */
  #html = [];
  #whole = '';

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /**
   * Show a whole answer. One that stands there already is left alone, with what is selected in it.
   * @param {string} html
   */
  show(html) {
    if (html === (this.#whole || this.#html.join(''))) return;
    this.#whole = html;
    this.#html = [];
    this.element.replaceChildren(makeBlock(html));
  }

  /**
   * Show one block of a growing answer.
   * @param {number} index
   * @param {string} html
   */
  set(index, html) {
    if (this.#whole) this.clear();
    if (this.#html[index] === html) return;
    this.#html[index] = html;
    while (this.element.children.length < index) this.element.append(makeBlock(''));
    const shown = this.element.children[index];
    if (shown) shown.replaceWith(makeBlock(html));
    else this.element.append(makeBlock(html));
  }

  clear() {
    this.#whole = '';
    this.#html = [];
    this.element.replaceChildren();
  }

  get isEmpty() {
    return !this.#whole && this.#html.join('') === '';
  }
}

/** @param {string} html Of the server's sanitizer. */
function makeBlock(html) {
  const block = make('div', { className: 'block' });
  block.dir = 'auto';
  block.innerHTML = html;
  for (const code of block.querySelectorAll('pre')) frameCode(code);
  for (const table of block.querySelectorAll('table')) frameTable(table);
  for (const box of block.querySelectorAll('input')) box.ariaLabel = box.checked ? 'Done' : 'To do';
  return block;
}

/** @param {HTMLPreElement} pre */
function frameCode(pre) {
  const frame = make('div', { className: 'code' });
  const bar = make('div', { className: 'code-bar' });
  const language = /language-(\S+)/.exec(pre.firstElementChild?.className ?? '')?.[1] ?? '';
  frame.dir = 'ltr';
  pre.tabIndex = 0; // so that the arrow keys can scroll it
  pre.replaceWith(frame);
  bar.append(make('span', { text: language }), makeCopyButton(pre));
  frame.append(bar, pre);
}

/** @param {HTMLPreElement} pre */
function makeCopyButton(pre) {
  const button = make('button', { className: 'icon small' });
  button.type = 'button';
  button.ariaLabel = button.title = 'Copy code';
  button.append(makeIcon('copy'));
  button.addEventListener('click', () => copyText(pre.textContent ?? '', button));
  return button;
}

/** @param {HTMLTableElement} table */
function frameTable(table) {
  const frame = make('div', { className: 'table' });
  frame.tabIndex = 0;
  table.replaceWith(frame);
  frame.append(table);
}

/**
 * Return what a message says, without Markdown's marks.
 * @param {Message} message
 */
export function plainText({ role, content, content_html: html }) {
  if (role === 'user' || html === null) return content;
  return new DOMParser().parseFromString(html, 'text/html').body.textContent ?? '';
}

/**
 * @param {string} text
 * @param {HTMLElement} button
 */
export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    flashIcon(button, 'check');
    announce('Copied');
  } catch {
    flashIcon(button, 'close'); // without HTTPS a browser has no clipboard
    announce('The browser did not allow copying');
  }
}
