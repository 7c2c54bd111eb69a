// Who uses the page. A credential lives in sessionStorage alone: it is this tab's, survives a
// reload, and is gone when the tab is closed or the user signs out.

const CREDENTIAL = 'credential';
const USER = 'user';

/** @typedef {{ credential: string | null, userId: string }} Session */

/** @returns {Session | null} */
export function storedSession() {
  const credential = sessionStorage.getItem(CREDENTIAL);
  const userId = sessionStorage.getItem(USER);
  return credential && userId ? { credential, userId } : null;
}

/** @param {{ credential: string, userId: string }} session */
export function storeSession({ credential, userId }) {
  sessionStorage.setItem(CREDENTIAL, credential);
  sessionStorage.setItem(USER, userId);
}

export function forgetSession() {
  sessionStorage.removeItem(CREDENTIAL);
  sessionStorage.removeItem(USER);
}

/**
 * Return the user of a token (its `sub`), or null for a key. Nothing is checked: the server does.
 * @param {string} credential
 */
export function userOfToken(credential) {
  const parts = credential.split('.');
  if (parts.length !== 3) return null;
  try {
    const binary = atob((parts[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const { sub } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof sub === 'string' ? sub : null;
  } catch {
    return null;
  }
}

/** The user of open mode, where nobody signs in. */
export const openUser = {
  get: () => localStorage.getItem(USER) || 'me',

  /** @param {string} userId */
  set: (userId) => localStorage.setItem(USER, userId || 'me'),
};
