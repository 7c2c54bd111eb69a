// The open thread: what is asked, and the answer while it is given.

import { FollowedAnswer } from './answer.js';
import { RepeatKeys } from './api.js';
import { MessageComposer } from './composer.js';
import { showPicture } from './dialogs.js';
import { announce, find, findButton, findElement, make } from './dom.js';
import { followRun } from './events.js';
import { MessageLog } from './message-log.js';
import { clearNotices, showChoice, showError } from './notices.js';
import { ProblemError } from './problems.js';
import { showsThread } from './routes.js';

/**
 * @typedef {import('./api.js').Api} Api
 * @typedef {import('./api.js').Asked} Asked
 * @typedef {import('./api.js').MessagePage} MessagePage
 * @typedef {import('./api.js').Run} Run
 * @typedef {import('./message.js').MessageView} MessageView
 * @typedef {{ thread_id: string, title: string }} Heading
 */

const NOT_SHOWN = -1;

export class ChatConversation extends HTMLElement {
  log = find(this, 'message-log', MessageLog);
  composer = find(this, 'message-composer', MessageComposer);
  #heading = findElement(this, 'h1');
  #download = findButton(this, '[data-download]');
  #askKeys = new RepeatKeys();
  #againKeys = new RepeatKeys();
  /** @type {Api | null} */
  #api = null;
  /** @type {string | null} */
  #threadId = null;
  /** What is shown; whatever arrives for something else is dropped. */
  #shown = 0;
  #follower = new AbortController();
  /** @type {string | null} */
  #runId = null;

  /** @type {(thread: Heading) => void} */
  onActivity = () => {};

  connectedCallback() {
    this.log.actions = {
      regenerate: (view) => void this.#regenerate(view),
      resend: (view, prompt) => this.#resend(view, prompt),
      choose: (view, versionId) => void this.#choose(view, versionId),
      reply: (message) => this.composer.quote(message),
      goTo: (messageId) => void this.#goTo(messageId),
      enlarge: showPicture,
      quoted: (messageId) => this.log.seen(messageId),
    };
    this.composer.onSend = (written) => this.#ask(written);
    this.composer.onStop = () => this.#stop();
    this.#download.addEventListener('click', () => void this.#downloadFiles());
  }

  /** @param {Api} api */
  useApi(api) {
    this.#api = api;
    this.composer.useApi(api);
  }

  get threadId() {
    return this.#threadId;
  }

  /** Show an empty page for a new thread. */
  begin() {
    this.#leave(null);
    this.#setTitle('New chat');
    this.#download.hidden = true;
    this.log.clear({ welcome: true });
    this.composer.focus();
  }

  /**
   * Show a thread, and one of its messages if it is named.
   * @param {string} threadId
   * @param {number | null} messageId
   */
  async open(threadId, messageId) {
    if (threadId === this.#threadId && messageId !== null) return this.#goTo(messageId);
    const shown = this.#leave(threadId);
    const waiting = setTimeout(() => this.#showLoading(true), 250);
    try {
      const page = await this.#client.getThread(threadId);
      if (shown !== this.#shown) return;
      this.#show(page);
      if (messageId !== null) await this.#goTo(messageId);
    } catch (error) {
      if (shown !== this.#shown) return;
      this.log.clear();
      this.log.showError(error, () => void this.open(threadId, messageId));
    } finally {
      clearTimeout(waiting);
      if (shown === this.#shown) this.#showLoading(false);
    }
  }

  /**
   * Show another title, if this thread is the open one.
   * @param {Heading} thread
   */
  rename(thread) {
    if (thread.thread_id === this.#threadId) this.#setTitle(thread.title);
  }

  /** Stop showing what is open and forget it; answers go on at the server. */
  close() {
    this.#leave(null);
    this.#setTitle('New chat');
    this.composer.forget();
    this.log.clear();
  }

  /** @param {string | null} threadId */
  #leave(threadId) {
    this.#unfollow();
    this.#threadId = threadId;
    this.composer.switchTo(threadId ?? '');
    clearNotices(this.composer);
    this.#shown += 1;
    return this.#shown;
  }

  /** @param {MessagePage} page */
  #show(page) {
    const { thread_id: threadId, active_run_id: runId, title } = page.thread;
    this.#setTitle(title);
    this.log.show(page, (cursor, limit) => this.#client.getThread(threadId, { cursor, limit }));
    for (const view of this.log.views) {
      if (view.message.status === 'failed') void this.#explain(view);
    }
    void this.#offerFiles(threadId, page);
    if (runId) void this.#follow(runId);
    else this.#unfollow();
  }

  async #reload() {
    const threadId = this.#threadId;
    if (!threadId) return;
    const shown = this.#shown;
    const page = await this.#client.getThread(threadId);
    if (shown === this.#shown) this.#show(page);
  }

  /** @param {import('./api.js').Question} question */
  async #ask(question) {
    const isShown = (question.thread_id ?? null) === this.#threadId;
    const shown = isShown ? this.#shown : NOT_SHOWN;
    try {
      const asked = await this.#client.ask(question, this.#askKeys.keyFor(question));
      this.#askKeys.forget();
      this.#begun(asked, shown);
    } catch (error) {
      const isBusy = error instanceof ProblemError && error.code === 'thread_busy';
      if (isBusy && isShown) await this.#reload(); // somebody asked elsewhere: show that
      throw error;
    }
  }

  /** @param {MessageView} view */
  async #regenerate(view) {
    view.clearError();
    try {
      await this.#answerAgain({ message_id: view.message.message_id });
    } catch (error) {
      view.showError(error, () => void this.#regenerate(view));
    }
  }

  /**
   * @param {MessageView} view
   * @param {string} prompt
   */
  #resend(view, prompt) {
    return this.#answerAgain({ message_id: view.message.message_id, new_prompt: prompt });
  }

  /** @param {{ message_id: number, new_prompt?: string }} wish */
  async #answerAgain(wish) {
    const shown = this.#shown;
    const repetition = { thread_id: this.#threadId ?? '', ...wish };
    const asked = await this.#client.regenerate(repetition, this.#againKeys.keyFor(repetition));
    this.#againKeys.forget();
    this.#begun(asked, shown);
  }

  /**
   * @param {Asked} asked
   * @param {number} shown
   */
  #begun(asked, shown) {
    const heading = { thread_id: asked.thread_id, title: asked.thread_title };
    if (shown === this.#shown) {
      if (this.#threadId === null) {
        this.#threadId = asked.thread_id;
        showsThread(asked.thread_id);
        this.composer.switchTo(asked.thread_id);
      }
      this.#setTitle(heading.title);
      this.log.appendTurn(asked.user_message, asked.message);
      if (asked.user_message.files.length > 0) this.#download.hidden = false;
      void this.#follow(asked.run.run_id);
    }
    this.onActivity(heading);
  }

  /** @param {string} runId */
  async #follow(runId) {
    this.#unfollow();
    const { signal } = this.#follower;
    const answer = new FollowedAnswer(this.log);
    this.#runId = runId;
    this.composer.working = true;
    announce('The assistant is answering');
    try {
      await followRun(this.#client, runId, {
        signal,
        onEvents: (events) => events.forEach((event) => answer.take(event)),
        onConnection: (connected) => answer.view?.showConnection(connected),
      });
      if (!answer.isWhole) await this.#refresh(signal);
      signal.throwIfAborted();
      this.#ended(answer);
    } catch (error) {
      if (signal.aborted) return;
      this.#unfollow();
      this.log.showError(error, () => void this.#reload());
    }
  }

  /** @param {FollowedAnswer} answer */
  #ended({ run, view }) {
    this.#beIdle();
    announce(run?.status === 'completed' ? 'The answer is complete' : 'The answer has ended');
    if (run?.error && view) this.#showEnding(view, run);
  }

  #unfollow() {
    this.#follower.abort();
    this.#beIdle();
  }

  #beIdle() {
    this.#follower = new AbortController();
    this.#runId = null;
    this.composer.working = false;
  }

  /**
   * Show the newest messages as they are stored.
   * @param {AbortSignal} signal
   */
  async #refresh(signal) {
    const page = await this.#client.getThread(this.#threadId ?? '');
    signal.throwIfAborted();
    for (const message of page.messages) this.log.view(message.message_id)?.update(message);
  }

  async #stop() {
    if (!this.#runId) return;
    try {
      await this.#client.cancelRun(this.#runId);
    } catch (error) {
      if (!(error instanceof ProblemError && error.code === 'run_ended')) throw error;
    }
  }

  /**
   * Say why an answer failed.
   * @param {MessageView} view
   */
  async #explain(view) {
    if (!view.message.run_id) return;
    const run = await this.#client.getRun(view.message.run_id).catch(() => null);
    if (run?.error) this.#showEnding(view, run);
  }

  /**
   * @param {MessageView} view
   * @param {Run} run
   */
  #showEnding(view, run) {
    const tryAgain = run.status === 'failed' ? () => void this.#regenerate(view) : null;
    view.showError(run.error?.detail ?? '', tryAgain);
  }

  /**
   * @param {MessageView} view
   * @param {number} versionId
   */
  async #choose(view, versionId) {
    const offset = this.log.offsetOf(view.message.message_id);
    try {
      await this.#chooseHead(versionId);
      await this.log.putAt(versionId, offset);
      this.log.view(versionId)?.focusVersions();
    } catch (error) {
      view.showError(error, () => void this.#choose(view, versionId));
    }
  }

  /** @param {number} messageId */
  async #chooseHead(messageId) {
    const thread = await this.#client.updateThread(this.#threadId ?? '', { head_id: messageId });
    this.onActivity(thread);
    await this.#reload();
  }

  /** @param {number} messageId */
  async #goTo(messageId) {
    try {
      if (await this.log.reveal(messageId)) return;
    } catch {
      return; // the log says it
    }
    showChoice(
      this.composer,
      'That message is in another version of this conversation.',
      'Show that version',
      async () => {
        try {
          await this.#chooseHead(messageId);
          await this.log.reveal(messageId);
        } catch (error) {
          showError(this.composer, error);
        }
      },
    );
  }

  /**
   * @param {string} threadId
   * @param {MessagePage} page
   */
  async #offerFiles(threadId, page) {
    const seen = page.messages.some((message) => message.files.length > 0);
    this.#download.hidden = !seen;
    // Elsewhere: on older pages, or on other branches.
    const found = seen || (await this.#client.hasFiles(threadId).catch(() => false));
    if (threadId === this.#threadId && found) this.#download.hidden = false;
  }

  async #downloadFiles() {
    this.#download.disabled = true;
    try {
      const link = make('a');
      link.href = URL.createObjectURL(await this.#client.downloadFiles(this.#threadId ?? ''));
      link.download = `${this.#heading.textContent}.zip`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      showError(this.composer, error, () => void this.#downloadFiles());
    } finally {
      this.#download.disabled = false;
    }
  }

  /** @param {string} title */
  #setTitle(title) {
    this.#heading.textContent = title;
    document.title = `${title} · GPT Assistant`;
  }

  /** @param {boolean} loading */
  #showLoading(loading) {
    if (loading) this.log.clear();
    findElement(this, '.loading').hidden = !loading;
  }

  get #client() {
    if (!this.#api) throw new Error('Nobody is signed in');
    return this.#api;
  }
}
