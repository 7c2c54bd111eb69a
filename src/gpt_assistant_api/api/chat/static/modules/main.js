// The page: defines its elements, finds out who uses it, and shows what the address names.

import { Api } from './api.js';
import { PictureTray } from './attachments.js';
import { MessageComposer } from './composer.js';
import { ChatConversation } from './conversation.js';
import { bindDrawer } from './drawer.js';
import { acceptDrops } from './drop.js';
import { find, findButton, findElement } from './dom.js';
import { MessageLog } from './message-log.js';
import { showError } from './notices.js';
import { currentRoute } from './routes.js';
import { SearchBox } from './search.js';
import { forgetSession, openUser, storeSession, storedSession } from './session.js';
import { SignIn } from './sign-in.js';
import { bindTheme } from './theme.js';
import { ThreadList } from './thread-list.js';

/** @typedef {import('./session.js').Session} Session */

// The inner ones first: the outer ones look for them.
customElements.define('picture-tray', PictureTray);
customElements.define('message-log', MessageLog);
customElements.define('message-composer', MessageComposer);
customElements.define('chat-conversation', ChatConversation);
customElements.define('thread-list', ThreadList);
customElements.define('search-box', SearchBox);
customElements.define('sign-in', SignIn);

const app = findElement(document, '.app');
const conversation = find(app, 'chat-conversation', ChatConversation);
const threads = find(app, 'thread-list', ThreadList);
const search = find(app, 'search-box', SearchBox);
const signIn = find(document, 'sign-in', SignIn);
const signOut = findButton(app, '[data-sign-out]');
const user = find(app, '.user input', HTMLInputElement);
const closeDrawer = bindDrawer();

async function start() {
  try {
    const health = await Api.health();
    conversation.composer.offline = health.model_api === 'offline';
    if (health.open_mode) beOpen();
    else beClosed();
  } catch (error) {
    showError(findElement(document, '.boot'), error, () => void start());
  }
}

/** Nobody signs in: whoever reaches the server may be any user. */
function beOpen() {
  findElement(app, '.user').hidden = false;
  user.value = openUser.get();
  user.addEventListener('change', () => {
    openUser.set(user.value.trim());
    user.value = openUser.get();
    location.hash = '#/';
    use({ credential: null, userId: user.value });
  });
  use({ credential: null, userId: user.value });
}

function beClosed() {
  signIn.onSignedIn = (session) => {
    storeSession(session);
    use(session);
  };
  signOut.addEventListener('click', () => {
    location.hash = '#/';
    leave();
  });
  const session = storedSession();
  if (session) use(session);
  else signIn.show();
}

/** @param {Session} session */
function use({ credential, userId }) {
  const api = new Api(userId, credential, (problem) => leave(problem));
  const who = findElement(app, '.signed-in');
  app.hidden = false;
  who.textContent = who.title = userId;
  who.hidden = signOut.hidden = credential === null;
  conversation.useApi(api);
  search.useApi(api);
  void threads.useApi(api);
  showRoute();
}

/**
 * Forget the credential and everything that it opened.
 * @param {unknown} [reason]
 */
function leave(reason) {
  forgetSession();
  conversation.close();
  threads.clear();
  search.clear();
  app.hidden = true;
  signIn.show(reason);
}

function showRoute() {
  if (app.hidden) return;
  const { threadId, messageId } = currentRoute();
  threads.currentId = threadId;
  closeDrawer();
  if (threadId === null) conversation.begin();
  else void conversation.open(threadId, messageId);
}

conversation.onActivity = (thread) => {
  threads.raise(thread);
  threads.currentId = conversation.threadId;
};
threads.onRenamed = (thread) => {
  threads.raise(thread);
  conversation.rename(thread);
};
threads.onDeleted = (threadId) => {
  if (threadId !== conversation.threadId) return;
  history.replaceState(null, '', '#/');
  showRoute();
};

bindTheme(findButton(app, '[data-theme-toggle]'));
findButton(app, '.new-chat').addEventListener('click', () => {
  if (currentRoute().threadId === null) showRoute();
  else location.hash = '#/';
});
findElement(app, '[data-skip]').addEventListener('click', (event) => {
  event.preventDefault();
  conversation.composer.focus();
});
findElement(app, '.sidebar').addEventListener('click', (event) => {
  const link = event.target instanceof Element ? event.target.closest('a') : null;
  if (link && link.hash === location.hash) showRoute(); // no change of the address tells us
});
acceptDrops(conversation, (files) => conversation.composer.attach(files));
addEventListener('hashchange', showRoute);
void start();
