// What can go wrong, in words for people.

/** The server refused, in its own words (RFC 9457). */
export class ProblemError extends Error {
  /**
   * @param {number} status
   * @param {Record<string, unknown>} problem
   * @param {number | null} retryAfterSeconds
   */
  constructor(status, problem, retryAfterSeconds) {
    super(typeof problem.detail === 'string' ? problem.detail : `The server answered ${status}.`);
    this.status = status;
    this.code = typeof problem.code === 'string' ? problem.code : '';
    this.runId = typeof problem.run_id === 'string' ? problem.run_id : null;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether the same request may succeed a little later. */
  get isTemporary() {
    return this.status === 429 || this.status >= 500;
  }
}

/** Nothing answered, so whether the request arrived is not known. */
export class UnreachableError extends Error {
  constructor() {
    super('The server cannot be reached.');
  }
}

/**
 * Return the problem of a response that is not a success.
 * @param {Response} response
 */
export async function problemOf(response) {
  const text = await response.text().catch(() => '');
  return makeProblem(response.status, text, response.headers.get('Retry-After'));
}

/**
 * @param {number} status
 * @param {string} body
 * @param {string | null} retryAfter
 */
export function makeProblem(status, body, retryAfter) {
  const seconds = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  return new ProblemError(status, parsed(body), seconds);
}

/**
 * @param {string} body
 * @returns {Record<string, unknown>}
 */
function parsed(body) {
  try {
    const value = JSON.parse(body);
    return value && typeof value === 'object' ? value : {};
  } catch {
    return {}; // a proxy's page
  }
}

/**
 * Return how many seconds to wait before what failed is tried again, or null if that was not said.
 * @param {unknown} error
 */
export function secondsToWait(error) {
  return error instanceof ProblemError ? error.retryAfterSeconds : null;
}

/**
 * Return an error as a sentence or two.
 * @param {unknown} error
 * @param {{ hasWaited?: boolean }} [since]
 */
export function inWords(error, { hasWaited = false } = {}) {
  if (error instanceof ProblemError) {
    const seconds = secondsToWait(error);
    if (seconds === null) return error.message;
    return `${error.message} ${hasWaited ? 'It can be tried again now' : `Wait ${duration(seconds)}`}.`;
  }
  if (error instanceof UnreachableError) return `${error.message} Check the connection.`;
  console.error(error);
  return 'Something went wrong on this page.';
}

/**
 * @param {number} seconds
 */
function duration(seconds) {
  if (seconds < 100) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  return seconds < 5400
    ? `${Math.ceil(seconds / 60)} minutes`
    : `${Math.ceil(seconds / 3600)} hours`;
}
