// The dialogs: a question before something is lost, and a picture in full.

import { find, findButton, findElement } from './dom.js';

/**
 * Ask whether a thread is to be deleted.
 * @param {string} title
 * @returns {Promise<boolean>}
 */
export function confirmDelete(title) {
  const dialog = find(document, '#delete-dialog', HTMLDialogElement);
  findElement(dialog, 'q').textContent = title;
  return new Promise((resolve) => {
    /** @param {Event} event */
    const answer = (event) => {
      const button = event.target instanceof Element && event.target.closest('[data-answer]');
      if (button instanceof HTMLElement) dialog.close(button.dataset.answer);
    };
    const closed = () => {
      dialog.removeEventListener('click', answer);
      resolve(dialog.returnValue === 'yes');
    };
    dialog.returnValue = 'no';
    dialog.addEventListener('click', answer);
    dialog.addEventListener('close', closed, { once: true });
    dialog.showModal();
  });
}

/**
 * Show a picture as large as it fits.
 * @param {import('./api.js').StoredFile} file
 */
export function showPicture(file) {
  const dialog = find(document, '#picture-dialog', HTMLDialogElement);
  const image = find(dialog, 'img', HTMLImageElement);
  image.src = file.url;
  image.alt = file.filename;
  image.width = file.width;
  image.height = file.height;
  dialog.onclick = () => dialog.close();
  dialog.onclose = () => image.removeAttribute('src');
  findButton(dialog, 'button').onclick = () => dialog.close();
  dialog.showModal();
}
