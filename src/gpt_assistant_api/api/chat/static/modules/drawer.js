// The list of threads on a narrow screen: a drawer over the conversation.

import { findButton, findElement } from './dom.js';

const narrow = matchMedia('(max-width: 800px)');

/** Let the drawer open and close; returns what closes it. */
export function bindDrawer() {
  const app = findElement(document, '.app');
  const sidebar = findElement(app, '.sidebar');
  const scrim = findElement(app, '.scrim');
  const opener = findButton(app, '[data-open-drawer]');
  const main = findElement(app, '.conversation');

  /** @param {boolean} open */
  const set = (open) => {
    const isDrawer = narrow.matches;
    app.classList.toggle('drawer-open', isDrawer && open);
    opener.ariaExpanded = String(isDrawer && open);
    sidebar.inert = isDrawer && !open; // what is out of sight cannot be reached by keyboard
    main.inert = isDrawer && open;
    scrim.hidden = !(isDrawer && open);
  };
  const close = () => {
    if (!app.classList.contains('drawer-open')) return;
    set(false);
    opener.focus();
  };

  opener.addEventListener('click', () => {
    set(true);
    findButton(sidebar, '[data-close-drawer]').focus();
  });
  findButton(sidebar, '[data-close-drawer]').addEventListener('click', close);
  scrim.addEventListener('click', close);
  sidebar.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && !event.defaultPrevented) close();
  });
  narrow.addEventListener('change', () => set(false));
  set(false);
  return close;
}
