/** The drawer with every request of the page, as the curl command that would do the same. */
import { calls, recording } from "../api.js";
import { html, useStyles } from "../html.js";
import { copyAndSay } from "./clipboard.js";
import { curl } from "./snippets.js";

/** @param {{ onClose: () => void }} props */
export function Calls({ onClose }) {
  useStyles("dialogs/dialogs.css");
  const lines = calls.value.map((call) => curl(call));
  return html`<section class="calls" aria-label="API calls of this page">
    <header>
      <h2>API calls</h2>
      <span class="hush">what this page asked, and what you would type</span>
      <span class="push"></span>
      <button class="small" onClick=${() => copyAndSay(lines.join("\n"))}>Copy all</button>
      <button class="small" aria-pressed=${!recording.value} onClick=${() => (recording.value = !recording.value)}>Pause</button>
      <button class="small" onClick=${onClose}>Close</button>
    </header>
    <ol tabindex="0">
      ${calls.value.map((call, index) => html`<${Line} key=${call.number} call=${call} line=${lines[index]} />`).reverse()}
    </ol>
  </section>`;
}

/** @param {{ call: import("../api.js").Call, line: string }} props */
function Line({ call, line }) {
  const failed = call.status === 0 || call.status >= 400;
  return html`<li>
    <span class=${failed ? "failed" : "worked"}>${call.status || "none"}</span>
    <span class="hush">${call.ms} ms</span>
    <code>${line}</code>
    <button class="ghost small" onClick=${() => copyAndSay(line)} aria-label="Copy this call">Copy</button>
  </li>`;
}
