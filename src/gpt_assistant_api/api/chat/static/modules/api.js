// The conversation API, as this page uses it. Nothing here is private to the page.

import { ProblemError, UnreachableError, makeProblem, problemOf } from './problems.js';

/**
 * @typedef {{ thread_id: string, user_id: string, title: string, head_id: number | null,
 *   active_run_id: string | null, created_at: string, updated_at: string }} Thread
 * @typedef {{ file_id: string, filename: string, content_type: string, width: number,
 *   height: number, url: string, thumbnail_url: string }} StoredFile
 * @typedef {{ message_id: number, thread_id: string, role: 'user' | 'assistant',
 *   status: 'in_progress' | 'completed' | 'incomplete' | 'failed', content: string,
 *   content_html: string | null, files: StoredFile[], reply_to: number | null,
 *   parent_id: number | null, versions: { index: number, count: number, ids: number[] },
 *   run_id: string | null, message_time: string }} Message
 * @typedef {{ run_id: string, thread_id: string, message_id: number, status: string,
 *   error: { code: string, detail: string } | null }} Run
 * @typedef {{ thread_id: string, thread_title: string, run: Run, user_message: Message,
 *   message: Message }} Asked
 * @typedef {{ threads: Thread[], next_cursor: string | null }} ThreadPage
 * @typedef {{ thread: Thread, messages: Message[], next_cursor: string | null }} MessagePage
 * @typedef {{ message: Message, thread_title: string, snippet: string }} Found
 * @typedef {{ results: Found[], next_cursor: string | null }} FoundPage
 * @typedef {{ open_mode: boolean, model_api: string, version: string }} Health
 * @typedef {{ prompt: string, thread_id?: string, file_ids: string[], reply_to?: number }} Question
 * @typedef {{ thread_id: string, message_id: number, new_prompt?: string }} Repetition
 */

const REPEATS = 3;

/** One user's view of the server. */
export class Api {
  #credential;

  /**
   * @param {string} userId
   * @param {string | null} credential
   * @param {(error: ProblemError) => void} onUnauthenticated
   */
  constructor(userId, credential, onUnauthenticated = () => {}) {
    this.userId = userId;
    this.#credential = credential;
    this.onUnauthenticated = onUnauthenticated;
  }

  /** @returns {Promise<Health>} */
  static async health() {
    const response = await sent('/healthz', {});
    if (!response.ok) throw await problemOf(response);
    return response.json();
  }

  /**
   * @param {string | null} cursor
   * @param {number} [limit]
   * @returns {Promise<ThreadPage>}
   */
  listThreads(cursor, limit = 30) {
    return this.#json('GET', `/threads/${this.#user}${query({ limit, cursor })}`);
  }

  /**
   * @param {string} threadId
   * @param {{ cursor?: string | null, limit?: number }} [page]
   * @returns {Promise<MessagePage>}
   */
  getThread(threadId, { cursor = null, limit = 40 } = {}) {
    return this.#json(
      'GET',
      `${this.#thread(threadId)}${query({ format: 'html', limit, cursor })}`,
    );
  }

  /**
   * Rename a thread, or make the branch through a message the active one.
   * @param {string} threadId
   * @param {{ title?: string, head_id?: number }} changes
   * @returns {Promise<Thread>}
   */
  updateThread(threadId, changes) {
    return this.#json('PATCH', this.#thread(threadId), { body: changes });
  }

  /** @param {string} threadId */
  async deleteThread(threadId) {
    await this.#send('DELETE', this.#thread(threadId));
  }

  /**
   * @param {string} threadId
   * @returns {Promise<boolean>}
   */
  async hasFiles(threadId) {
    const path = `${this.#thread(threadId)}/messages-with-files${query({ limit: 1 })}`;
    /** @type {{ messages: Message[] }} */
    const page = await this.#json('GET', path);
    return page.messages.length > 0;
  }

  /** @param {string} threadId */
  async downloadFiles(threadId) {
    const response = await this.#send('GET', `${this.#thread(threadId)}/download-files`);
    return response.blob();
  }

  /**
   * @param {string} words
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<FoundPage>}
   */
  search(words, cursor, signal) {
    const path = `/search/${this.#user}${query({ q: words, limit: 20, cursor })}`;
    return this.#json('GET', path, { signal });
  }

  /**
   * Ask; the answer begins at once and is followed by its run.
   * @param {Question} question
   * @param {string} key The same for every attempt at the same question.
   * @returns {Promise<Asked>}
   */
  ask(question, key) {
    return this.#begin('/ask', question, key);
  }

  /**
   * Answer again, by stopping an answer that is being given.
   * @param {Repetition} repetition
   * @param {string} key
   * @returns {Promise<Asked>}
   */
  regenerate(repetition, key) {
    return this.#begin('/regenerate', { ...repetition, if_busy: 'interrupt' }, key);
  }

  /**
   * @param {string} runId
   * @returns {Promise<Run>}
   */
  getRun(runId) {
    return this.#json('GET', `/runs/${runId}`);
  }

  /** @param {string} runId */
  async cancelRun(runId) {
    await this.#send('POST', `/runs/${runId}/cancel`);
  }

  /**
   * Open the stream of a run's events, after one of them; null says that nothing comes any more.
   * @param {string} runId
   * @param {string} lastEventId
   * @param {AbortSignal} signal
   */
  async openEvents(runId, lastEventId, signal) {
    const headers = {
      Accept: 'text/event-stream',
      ...(lastEventId && { 'Last-Event-ID': lastEventId }),
    };
    const path = `/runs/${runId}/events?format=html`;
    const response = await this.#send('GET', path, { headers, signal });
    return response.status === 204 ? null : response.body;
  }

  /**
   * Upload a picture. It belongs to nobody until an ask names it, so that one which is not sent
   * is removed by the server.
   * @param {File} file
   * @param {(share: number) => void} onProgress
   * @param {AbortSignal} signal
   * @returns {Promise<StoredFile>}
   */
  uploadFile(file, onProgress, signal) {
    const form = new FormData();
    form.append('file', file, file.name);
    const request = new XMLHttpRequest(); // fetch does not tell the progress of an upload
    return new Promise((resolve, reject) => {
      request.open('POST', '/upload-file');
      if (this.#credential) request.setRequestHeader('Authorization', `Bearer ${this.#credential}`);
      request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
      request.onerror = () => reject(new UnreachableError());
      request.onload = () => {
        if (request.status === 201) resolve(JSON.parse(request.responseText));
        else {
          const retryAfter = request.getResponseHeader('Retry-After');
          reject(makeProblem(request.status, request.responseText, retryAfter));
        }
      };
      signal.addEventListener('abort', () => request.abort(), { once: true });
      request.send(form);
    });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {string} key
   * @returns {Promise<Asked>}
   */
  async #begin(path, body, key) {
    const headers = { 'Idempotency-Key': key, Prefer: 'respond-async' };
    const whole = { user_id: this.userId, format: 'html', ...body };
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#json('POST', path, { body: whole, headers });
      } catch (error) {
        if (!(error instanceof UnreachableError) || attempt > REPEATS) throw error;
        await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ body?: object, headers?: Record<string, string>, signal?: AbortSignal }} [options]
   */
  async #json(method, path, options) {
    const response = await this.#send(method, path, options);
    return response.json();
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{ body?: object, headers?: Record<string, string>, signal?: AbortSignal }} [options]
   */
  async #send(method, path, { body, headers = {}, signal } = {}) {
    const response = await sent(path, {
      method,
      signal,
      body: body && JSON.stringify(body),
      headers: {
        ...(body && { 'Content-Type': 'application/json' }),
        ...(this.#credential && { Authorization: `Bearer ${this.#credential}` }),
        ...headers,
      },
    });
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.status === 401) this.onUnauthenticated(problem);
    throw problem;
  }

  get #user() {
    return encodeURIComponent(this.userId);
  }

  /** @param {string} threadId */
  #thread(threadId) {
    return `/threads/${this.#user}/${encodeURIComponent(threadId)}`;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function sent(path, options) {
  try {
    return await fetch(path, { cache: 'no-store', credentials: 'omit', ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new UnreachableError();
  }
}

/**
 * @param {Record<string, string | number | null>} parameters
 */
function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null);
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

/** Keys for requests that may be repeated: the same one for the same body until it succeeds. */
export class RepeatKeys {
  #body = '';
  #key = '';

  /** @param {object} body */
  keyFor(body) {
    const text = JSON.stringify(body);
    if (text !== this.#body || !this.#key) {
      this.#body = text;
      this.#key = randomKey();
    }
    return this.#key;
  }

  /** The request succeeded: the same body again is another request. */
  forget() {
    this.#key = '';
  }
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // randomUUID needs HTTPS
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
