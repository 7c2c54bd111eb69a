// Small helpers over the DOM, so that what is found has a type and what is missing says so.

/**
 * Return the first element that matches, or throw: the page is ours, so it is there.
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function find(root, selector, type) {
  const found = root.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`The page has no ${selector}`);
  return found;
}

/**
 * @param {ParentNode} root
 * @param {string} selector
 */
export const findButton = (root, selector) => find(root, selector, HTMLButtonElement);

/**
 * @param {ParentNode} root
 * @param {string} selector
 */
export const findElement = (root, selector) => find(root, selector, HTMLElement);

/**
 * Return a copy of a template's only element.
 * @param {string} id
 */
export function fromTemplate(id) {
  const template = find(document, `#${id}`, HTMLTemplateElement);
  const copy = document.importNode(template.content, true).firstElementChild;
  if (!(copy instanceof HTMLElement)) throw new Error(`The template ${id} is empty`);
  return copy;
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {{ className?: string, text?: string }} [options]
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, { className = '', text = '' } = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/**
 * @param {string} name
 */
export function makeIcon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `#${name}`);
  svg.append(use);
  return svg;
}

/**
 * Show another picture on a button for a moment; its name stays.
 * @param {HTMLElement} button
 * @param {string} name
 */
export function flashIcon(button, name) {
  const svg = button.querySelector('svg');
  if (!svg || svg.dataset.flashing) return;
  const icon = makeIcon(name);
  icon.dataset.flashing = 'yes';
  svg.replaceWith(icon);
  setTimeout(() => icon.replaceWith(svg), 1500);
}

/**
 * Let a text area be as high as its text; the stylesheet says where that ends.
 * @param {HTMLTextAreaElement} area
 */
export function growWithText(area) {
  const grow = () => {
    area.style.height = 'auto';
    area.style.height = `${area.scrollHeight}px`;
  };
  area.addEventListener('input', grow);
  return grow;
}

/**
 * Tell whether a key press means "done": Enter alone, and not the Enter of an input method.
 * @param {KeyboardEvent} event
 */
export function isPlainEnter(event) {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/**
 * Say something to who does not see the page.
 * @param {string} text
 */
export function announce(text) {
  findElement(document, '#announcements').textContent = text;
}
