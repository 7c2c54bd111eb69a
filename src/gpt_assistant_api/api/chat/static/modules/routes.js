// Where the page is: `#/` for a new chat, `#/t/<thread>` for a thread, `#/t/<thread>/<message>`.

/** @typedef {{ threadId: string | null, messageId: number | null }} Route */

/** @returns {Route} */
export function currentRoute() {
  const [, threadId, messageId] = /^#\/t\/(\w+)(?:\/(\d+))?$/.exec(location.hash) ?? [];
  return { threadId: threadId ?? null, messageId: messageId ? Number(messageId) : null };
}

/**
 * @param {string} threadId
 * @param {number} [messageId]
 */
export function addressOf(threadId, messageId) {
  return messageId === undefined ? `#/t/${threadId}` : `#/t/${threadId}/${messageId}`;
}

/**
 * Note that the page shows a thread by now; nothing is opened.
 * @param {string} threadId
 */
export function showsThread(threadId) {
  history.pushState(null, '', addressOf(threadId));
}
