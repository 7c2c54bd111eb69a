// Signing in with a service key or a user token, which is tried before it is kept.

import { Api } from './api.js';
import { find, findButton } from './dom.js';
import { clearNotices, showError } from './notices.js';
import { userOfToken } from './session.js';

/** @typedef {{ credential: string, userId: string }} SignedIn */

export class SignIn extends HTMLElement {
  #form = find(this, 'form', HTMLFormElement);
  #credential = find(this, 'input[name=credential]', HTMLInputElement);
  #user = find(this, 'input[name=user]', HTMLInputElement);
  #button = findButton(this, 'button');

  /** @type {(session: SignedIn) => void} */
  onSignedIn = () => {};

  connectedCallback() {
    this.#credential.addEventListener('input', () => this.#showUserOfToken());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#submit();
    });
  }

  /**
   * Show the form, with the reason why it is back.
   * @param {unknown} [reason]
   */
  show(reason) {
    this.hidden = false;
    this.#credential.value = '';
    this.#showUserOfToken();
    clearNotices(this);
    if (reason) showError(this, reason);
    this.#credential.focus();
  }

  async #submit() {
    const credential = this.#credential.value.trim();
    const userId = userOfToken(credential) ?? this.#user.value.trim();
    clearNotices(this);
    if (!credential) return;
    if (!userId) {
      showError(this, 'A key can act for every user. Say for which one.');
      this.#user.focus();
      return;
    }
    this.#button.disabled = true;
    try {
      await new Api(userId, credential).listThreads(null, 1);
      this.hidden = true;
      this.#credential.value = '';
      this.onSignedIn({ credential, userId });
    } catch (error) {
      showError(this, error);
      this.#credential.focus();
    } finally {
      this.#button.disabled = false;
    }
  }

  #showUserOfToken() {
    const userId = userOfToken(this.#credential.value.trim());
    if (userId !== null) this.#user.value = userId;
    this.#user.readOnly = userId !== null;
  }
}
