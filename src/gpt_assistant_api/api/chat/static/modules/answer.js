// An answer while it is given: the run's events, put into the message that the run writes.

/**
 * @typedef {import('./api.js').Run} Run
 * @typedef {import('./events.js').RunEvent} RunEvent
 * @typedef {import('./message-log.js').MessageLog} MessageLog
 */

export class FollowedAnswer {
  #log;
  #messageId = 0;
  /** @type {Run | null} */
  run = null;
  isWhole = false;

  /** @param {MessageLog} log */
  constructor(log) {
    this.#log = log;
  }

  get view() {
    return this.#log.view(this.#messageId);
  }

  /** @param {RunEvent} event */
  take({ name, data }) {
    switch (name) {
      case 'run.started':
        this.#messageId = data.run.message_id;
        break;
      case 'message.started':
        this.#messageId = data.message_id;
        break;
      case 'message.block':
        this.view?.setBlock(data.index, data.html);
        break;
      case 'run.restarted':
        this.view?.restart();
        break;
      case 'message.completed':
        this.#messageId = data.message.message_id;
        this.isWhole = true;
        this.view?.update(data.message);
        break;
      default: // run.completed, run.failed, run.cancelled
        this.run = data.run;
    }
  }
}
