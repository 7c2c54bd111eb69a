// Light or dark: as the system is set, or as chosen here. Runs before the page is painted.

const CHOICE = 'theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

apply(localStorage.getItem(CHOICE));

/**
 * Let a button switch between light and dark.
 * @param {HTMLButtonElement} button
 */
export function bindTheme(button) {
  button.addEventListener('click', () => {
    const shown = document.documentElement.dataset.theme ?? system();
    const choice = shown === 'dark' ? 'light' : 'dark';
    // What the system says anyway is not kept, so that the page follows it from then on.
    if (choice === system()) localStorage.removeItem(CHOICE);
    else localStorage.setItem(CHOICE, choice);
    apply(choice);
  });
}

function system() {
  return dark.matches ? 'dark' : 'light';
}

/** @param {string | null} choice */
function apply(choice) {
  if (choice === 'dark' || choice === 'light') document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
}
