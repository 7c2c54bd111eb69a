// Pictures dragged onto the conversation.

import { findElement } from './dom.js';

/**
 * @param {HTMLElement} target
 * @param {(files: Iterable<File>) => void} onFiles
 */
export function acceptDrops(target, onFiles) {
  const hint = findElement(target, '.drop-hint');
  /** @param {DragEvent} event */
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files') ?? false;

  target.addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint.hidden = false;
  });
  target.addEventListener('dragleave', (event) => {
    const inside = event.relatedTarget instanceof Node && target.contains(event.relatedTarget);
    if (!inside) hint.hidden = true;
  });
  target.addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    hint.hidden = true;
    onFiles(event.dataTransfer?.files ?? []);
  });
}
