// A run's events over fetch, which can send a credential, and again after every lost connection.

import { ProblemError } from './problems.js';

/** @typedef {import('./api.js').Api} Api */
/** @typedef {{ name: string, id: string, data: any }} RunEvent */

const ENDS = new Set(['run.completed', 'run.failed', 'run.cancelled']);
const SILENCE_MS = 40_000; // the server says something every 15 s
const LONGEST_PAUSE_MS = 5_000;

/**
 * Hand over a run's events to its end, in the batches in which they arrive. Returns once the run has
 * ended; rejects when the server refuses, and when `signal` aborts.
 * @param {Api} api
 * @param {string} runId
 * @param {{ signal: AbortSignal, onEvents: (events: RunEvent[]) => void,
 *   onConnection: (connected: boolean) => void }} watcher
 */
export async function followRun(api, runId, { signal, onEvents, onConnection }) {
  let lastId = '';
  for (let failures = 1; ; failures += 1) {
    let pause = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures);
    try {
      for await (const events of connect(api, runId, lastId, signal)) {
        failures = 0;
        onConnection(true);
        const last = events.at(-1);
        if (!last) continue;
        lastId = last.id;
        onEvents(events);
        if (ENDS.has(last.name)) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof NothingMore) return;
      if (error instanceof ProblemError) {
        if (!error.isTemporary) throw error;
        pause = Math.max(pause, 1000 * (error.retryAfterSeconds ?? 0));
      }
    }
    signal.throwIfAborted();
    if (failures > 1) onConnection(false);
    await pausing(failures ? pause : 100, signal);
  }
}

class NothingMore extends Error {}

/**
 * @param {Api} api
 * @param {string} runId
 * @param {string} lastId
 * @param {AbortSignal} signal
 */
async function* connect(api, runId, lastId, signal) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const body = await api.openEvents(runId, lastId, AbortSignal.any([signal, silence.signal]));
    if (!body) throw new NothingMore();
    for await (const events of readEvents(body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      yield events;
    }
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Yield the server-sent events of each piece that arrives, none where it was a comment.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<RunEvent[], void>}
 */
export async function* readEvents(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const frames = (rest + decoder.decode(value, { stream: true })).split('\n\n');
      rest = frames.pop() ?? '';
      yield frames.map(parseFrame).filter((event) => event !== null);
    }
  } finally {
    reader.releaseLock(); // after the last event the server ends the stream itself
  }
}

/**
 * @param {string} frame
 * @returns {RunEvent | null}
 */
function parseFrame(frame) {
  const fields = new Map(
    frame.split('\n').map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    }),
  );
  const data = fields.get('data');
  if (!data) return null; // a comment
  return { name: fields.get('event') ?? '', id: fields.get('id') ?? '', data: JSON.parse(data) };
}

/**
 * Wait, at most until the machine is online again.
 * @param {number} milliseconds
 * @param {AbortSignal} signal
 */
function pausing(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener('online', done);
      signal.removeEventListener('abort', done);
      resolve(undefined);
    };
    const timer = setTimeout(done, milliseconds * (0.75 + Math.random() / 2));
    addEventListener('online', done);
    signal.addEventListener('abort', done);
  });
}
