/** Single keys for everything that is done often. They can be switched off (WCAG 2.1.4). */
import { signal } from "@preact/signals";
import { store, stored } from "./storage.js";

const STORED_AS = "keys";

/**
 * @typedef {object} Key
 * @property {string} label what it does, for the help
 * @property {() => void} act
 */

/** All keys, in the order in which the help lists them. @type {Map<string, Key>} */
export const keys = new Map();
export const enabled = signal(stored(STORED_AS) !== "off");

/** @param {string} name as `KeyboardEvent.key` has it @param {string} label @param {() => void} act */
export function onKey(name, label, act) {
  keys.set(name, { label, act });
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
    const key = keys.get(event.key);
    if (!key || !enabled.value || isForSomethingElse(event)) return;
    event.preventDefault();
    key.act();
  });
}
