/**
 * Requests to the API, each of them kept as the curl command that would do the same.
 *
 * @import { ProblemItem } from "./records.js"
 */
import { signal } from "@preact/signals";

/** The path under which a proxy publishes the service; "" without one. */
export const ROOT = document.documentElement.dataset.root ?? "";
const REMEMBERED_CALLS = 200;
const PATIENCE_MS = 20_000;

/**
 * @typedef {object} Call one request of the page
 * @property {number} number that counts the requests
 * @property {string} method
 * @property {string} path
 * @property {unknown} body what was sent as JSON; a file as `{type, base64}`; files that only their
 *   names are kept of as `{files, fields}`; or undefined
 * @property {number} status 0 if no answer came
 * @property {number} began in milliseconds since the page was opened
 * @property {number} ms until the answer came
 */

/** The last requests, oldest first. @type {import("@preact/signals").Signal<Call[]>} */
export const calls = signal([]);
let recorded = 0;
/** Whether requests are being recorded. */
export const recording = signal(true);

/**
 * Keep a request whose answer is here, or which has none.
 *
 * @param {Pick<Call, "method" | "path" | "body" | "status" | "began">} call
 */
export function remember(call) {
  if (!recording.peek()) return;
  const ms = Math.round(performance.now() - call.began);
  calls.value = [...calls.peek().slice(1 - REMEMBERED_CALLS), { ...call, number: ++recorded, ms }];
}

/** An error answer of the service. */
export class Problem extends Error {
  /** @param {number} status @param {Record<string, any>} body @param {number} retryAfter seconds */
  constructor(status, body, retryAfter = 0) {
    super(body.detail ?? body.title ?? `The server answered ${status}.`);
    this.status = status;
    this.code = /** @type {string | undefined} */ (body.code);
    this.errors = /** @type {ProblemItem[]} */ (body.errors ?? []);
    this.retryAfter = retryAfter;
  }
}

/**
 * @typedef {object} Options
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [abort]
 * @property {boolean} [quiet] whether the request is left out of the record
 * @property {boolean} [secret] whether the body is left out of the record
 */

/**
 * Send a request and return its answer, whatever its content.
 *
 * @param {string} method
 * @param {string} path without the prefix of a proxy
 * @param {unknown} [body]
 * @param {Options} [options]
 * @returns {Promise<Response>}
 * @throws {Problem} the service refused
 * @throws {TypeError} no answer came
 */
export async function request(method, path, body, { headers, abort, quiet, secret } = {}) {
  const began = performance.now();
  const isFile = body instanceof Blob;
  const type = isFile ? body.type : "application/json";
  const record = async (/** @type {number} */ status) => {
    if (quiet || !recording.peek()) return;
    const sent = secret ? { key: "mlp_…" } : isFile ? { type, base64: await base64Of(body) } : body;
    remember({ method, path, body: sent, status, began });
  };
  const answer = await fetch(ROOT + path, {
    method,
    headers: body === undefined ? headers : { "Content-Type": type, ...headers },
    body: isFile ? body : body === undefined ? undefined : JSON.stringify(body),
    signal: abort,
  }).catch((error) => {
    if (error.name !== "AbortError") record(0);
    throw error;
  });
  record(answer.status);
  if (answer.ok) return answer;
  const retryAfter = Number(answer.headers.get("Retry-After") ?? 0);
  throw new Problem(answer.status, await answer.json().catch(() => ({})), retryAfter);
}

/** @param {Blob} file @returns {Promise<string>} */
export async function base64Of(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/**
 * Read JSON; wait and ask again as long as the server says that it is busy.
 *
 * @param {string} path
 * @param {Options} [options]
 */
export async function get(path, options) {
  for (const until = Date.now() + PATIENCE_MS; ; ) {
    try {
      return await (await request("GET", path, undefined, options)).json();
    } catch (error) {
      const busy = error instanceof Problem && error.status === 503;
      if (!busy || options?.quiet || Date.now() > until) throw error;
      await sleep(1000 * Math.max(1, error.retryAfter));
    }
  }
}

/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export async function post(path, body, options) {
  const answer = await request("POST", path, body, options);
  return answer.status === 204 ? null : answer.json();
}

/** @param {number} ms */
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Return random letters for `Idempotency-Key`; `crypto.randomUUID` is missing on plain http. */
export const randomKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");

/**
 * Read an array that `np.save` has written.
 *
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<{shape: number[], data: Float32Array | Int8Array | Uint8Array, scale: number}>}
 *   the array in C order; `scale` is the value of 1 in an array of int8
 */
export async function getArray(path, options) {
  const answer = await request("GET", path, undefined, options);
  const bytes = await answer.arrayBuffer();
  const headerLength = new DataView(bytes).getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(bytes, 10, headerLength));
  const shape = (header.match(/'shape': \(([^)]*)\)/)?.[1] ?? "").split(",").filter(Boolean);
  const type = header.match(/'descr': '(.+?)'/)?.[1] ?? "";
  const Type = { "<f4": Float32Array, "|i1": Int8Array, "|u1": Uint8Array }[type];
  if (!Type) throw new TypeError(`The page can't read arrays of type ${type}.`);
  const data = new Type(bytes.slice(10 + headerLength));
  return { shape: shape.map(Number), data, scale: Number(answer.headers.get("Scale") ?? 1) };
}
