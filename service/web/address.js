/**
 * The address of the page says what is shown, so that a copied address shows the same.
 *
 * Each module names the signals that belong into the address; here they are read and written. The
 * hash is used because the server never sees it: it stays an API, and a 404 stays a 404.
 *
 * @import { Signal } from "@preact/signals"
 */
import { batch, effect, signal } from "@preact/signals";

/**
 * @typedef {object} Part of the address
 * @property {string} key
 * @property {() => string | null} write returns the text of the present value, or null for the default
 * @property {(text: string | null) => void} read takes a value from the address
 */

/** @type {Signal<Part[]>} */
const parts = signal([]);
/** Keys that this page does not know, which are kept. @type {[string, string][]} */
let unknown = [];

/** Let a part of the state travel in the address. @param {Part} part */
export function addressed(part) {
  // A module that is loaded late finds its part among those that nobody knew before.
  const early = unknown.find(([key]) => key === part.key);
  unknown = unknown.filter((each) => each !== early);
  if (early) part.read(early[1]);
  parts.value = [...parts.peek(), part];
}

/**
 * Let a signal travel in the address.
 *
 * @template T
 * @param {string} key
 * @param {Signal<T>} value
 * @param {T} initial which is left out
 * @param {(text: string) => T} parse
 */
export function addressedSignal(key, value, initial, parse) {
  addressed({
    key,
    write: () => (value.value === initial ? null : String(value.value)),
    read: (text) => {
      value.value = text === null ? initial : parse(text);
    },
  });
}

/** The hash that was read or written last. */
let known = "";

function readAddress() {
  known = location.hash.slice(1);
  const found = new URLSearchParams(known);
  const keys = new Set(parts.peek().map((part) => part.key));
  unknown = [...found].filter(([key]) => !keys.has(key));
  batch(() => {
    for (const part of parts.peek()) part.read(found.get(part.key));
  });
}

function addressNow() {
  const found = parts.value.map((part) => /** @type {const} */ ([part.key, part.write()]));
  const pairs = [...found.filter(([, text]) => text !== null), ...unknown];
  // Commas and colons may stand in a hash, and an address is to be read by people too.
  const query = new URLSearchParams(/** @type {[string, string][]} */ (pairs)).toString();
  return query.replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** Read the address, and write it from now on. */
export function startAddress() {
  readAddress();
  window.addEventListener("hashchange", readAddress);
  let jobs = new URLSearchParams(location.hash.slice(1)).get("jobs");
  effect(() => {
    const hash = addressNow();
    // Somebody has just changed the hash, which is to be read and not overwritten.
    if (location.hash.slice(1) !== known) return;
    if (hash === known) return;
    const address = hash ? `#${hash}` : location.pathname + location.search;
    // Another selection is a step in the browser's history; everything else is none.
    const before = jobs;
    jobs = new URLSearchParams(hash).get("jobs");
    if (before === jobs) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    known = location.hash.slice(1);
  });
}
