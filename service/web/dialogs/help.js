/** The dialog that lists the keys. */

import { html } from "../html.js";
import { enabled, keys, toggleKeys } from "../keyboard.js";
import { Dialog } from "./dialog.js";
import "../lab/lab.js"; // an empty page has not loaded these, whose keys are listed too
import "../weights/film.js";
import "../weights/weights.js";

const NAMES = /** @type {Record<string, string>} */ ({
  " ": "space",
  Escape: "Esc",
  Delete: "Del",
});

/** @param {{ onClose: () => void }} props */
export function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose}>
    <label class="switch-line"
      ><input type="checkbox" checked=${enabled.value} onChange=${toggleKeys} /> Single keys work
      outside fields</label
    >
    <dl class="keys">
      ${[...keys].map(([key, { label }]) => html`<div><dt><kbd>${NAMES[key] ?? key}</kbd></dt><dd>${label}</dd></div>`)}
      <div><dt><kbd>Ctrl V</kbd></dt><dd>paste a picture</dd></div>
    </dl>
  <//>`;
}
