/** Single keys for everything that is done often. They can be switched off (WCAG 2.1.4). */
import { signal } from "@preact/signals";
import { store, stored } from "./storage.js";

const STORED_AS = "keys";
/** How long a key waits for the view that it belongs to, in milliseconds. */
const PATIENCE = 3000;

/**
 * @typedef {object} Key
 * @property {string} label what it does, for the help
 * @property {() => void} act
 */

/** All keys, in the order in which the help lists them. @type {Map<string, Key>} */
export const keys = new Map();
export const enabled = signal(stored(STORED_AS) !== "off");

/** A key that was pressed before the view was loaded that it belongs to. */
let early = { name: "", until: 0 };

/** @param {string} name as `KeyboardEvent.key` has it @param {string} label @param {() => void} act */
export function onKey(name, label, act) {
  keys.set(name, { label, act });
  if (early.name !== name || performance.now() > early.until) return;
  early = { name: "", until: 0 };
  queueMicrotask(act); // the module that asks for it has not been run to its end
}

export function toggleKeys() {
  enabled.value = !enabled.value;
  store(STORED_AS, enabled.value ? "on" : "off");
}

/** @param {KeyboardEvent} event */
function isForSomethingElse(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = /** @type {Element} */ (event.target);
  if (target.closest("input:not([type=checkbox], [type=range]), select, textarea, dialog"))
    return true;
  return event.key === " " && target.closest("button, a, input, [role=tab]") !== null;
}

export function startKeyboard() {
  document.addEventListener("keydown", (event) => {
    if (!enabled.value || isForSomethingElse(event)) return;
    const key = keys.get(event.key);
    early = { name: key ? "" : event.key, until: performance.now() + PATIENCE };
    if (!key) return;
    event.preventDefault();
    key.act();
  });
}
