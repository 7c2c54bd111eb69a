// Errors, shown where they happened.

import { find, make } from './dom.js';
import { inWords, secondsToWait } from './problems.js';

/**
 * Show an error in the notices of a part of the page, in place of an earlier one.
 * @param {ParentNode} part
 * @param {unknown} error An error, or a sentence.
 * @param {(() => unknown) | null} [tryAgain]
 */
export function showError(part, error, tryAgain = null) {
  const notice = make('div', { className: 'notice' });
  notice.role = 'alert';
  const words = make('p', { text: typeof error === 'string' ? error : inWords(error) });
  notice.append(words);
  if (tryAgain) notice.append(makeAction('Try again', part, tryAgain));
  find(part, '.notices', HTMLElement).replaceChildren(notice);
  notice.scrollIntoView({ block: 'nearest' });

  const seconds = secondsToWait(error);
  if (seconds === null) return;
  setTimeout(() => (words.textContent = inWords(error, { hasWaited: true })), 1000 * seconds);
}

/**
 * Show a sentence with something that can be done about it.
 * @param {ParentNode} part
 * @param {string} sentence
 * @param {string} label
 * @param {() => unknown} action
 */
export function showChoice(part, sentence, label, action) {
  const notice = make('div', { className: 'notice quiet' });
  notice.role = 'status';
  notice.append(make('p', { text: sentence }), makeAction(label, part, action));
  find(part, '.notices', HTMLElement).replaceChildren(notice);
}

/**
 * @param {ParentNode} part
 */
export function clearNotices(part) {
  find(part, '.notices', HTMLElement).replaceChildren();
}

/**
 * @param {string} label
 * @param {ParentNode} part
 * @param {() => unknown} action
 */
function makeAction(label, part, action) {
  const button = make('button', { className: 'plain', text: label });
  button.type = 'button';
  button.addEventListener('click', () => {
    clearNotices(part);
    action();
  });
  return button;
}
