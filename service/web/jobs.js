/** The list of jobs. */
import { html } from "./html.js";
import * as state from "./state.js";
import { percent, shape, title } from "./words.js";

export function Jobs() {
  return html`<aside class="jobs" aria-label="Jobs" tabindex="-1">
    <ol>${state.ids.value.map((id) => html`<${Row} key=${id} id=${id} />`)}</ol>
  </aside>`;
}

/** @param {{ id: string }} props */
function Row({ id }) {
  const job = state.job(id);
  if (!job) return null;
  return html`<li><button onClick=${() => state.open(id)}>${title(job)} ${shape(job.spec)} ${percent(job.metrics.best?.test_accuracy)}</button></li>`;
}
