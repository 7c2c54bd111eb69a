// Editing a prompt in its place, to have the edited version answered.

import { find, findButton, findElement, fromTemplate, growWithText, isPlainEnter } from './dom.js';
import { clearNotices, showError } from './notices.js';

/**
 * Put an editor in place of a message's text until it is sent or given up.
 * @param {HTMLElement} message
 * @param {string} text
 * @param {(prompt: string) => Promise<void>} send
 */
export function editMessage(message, text, send) {
  const content = findElement(message, '.content');
  const actions = findElement(message, '.actions');
  const editor = fromTemplate('editor-template');
  const area = find(editor, 'textarea', HTMLTextAreaElement);
  const grow = growWithText(area);

  const close = () => {
    editor.remove();
    message.classList.remove('editing');
    content.hidden = actions.hidden = false;
    findElement(message, '[data-edit]').focus();
  };
  const save = async () => {
    const save = findButton(editor, '[type=submit]');
    if (!area.value.trim() || save.disabled) return;
    clearNotices(editor);
    save.disabled = true;
    try {
      await send(area.value);
    } catch (error) {
      save.disabled = false;
      showError(editor, error, submit);
    }
  };
  const submit = () => void save();

  editor.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  editor.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close();
    else if (event.target === area && isPlainEnter(event)) {
      event.preventDefault();
      submit();
    }
  });
  findElement(editor, '[data-cancel]').addEventListener('click', close);

  area.value = text;
  content.hidden = actions.hidden = true;
  message.classList.add('editing');
  content.before(editor);
  grow();
  area.focus();
}
