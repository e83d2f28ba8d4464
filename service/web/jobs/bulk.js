/** What can be done with all ticked jobs at once. */
import { html } from "../html.js";
import * as state from "../state.js";
import { act, can } from "./actions.js";

const BULK = /** @type {const} */ ([
  ["pause", "Pause"],
  ["resume", "Resume"],
  ["cancel", "Cancel"],
  ["delete", "Delete"],
]);

export function Bulk() {
  const jobs = state.chosen.value;
  if (jobs.length < 2) return null;
  return html`<div class="bulk" role="group" aria-label="All ticked jobs">
    <b>${jobs.length} jobs</b>
    ${BULK.filter(([action]) => jobs.some((job) => can(action, job))).map(
      ([action, label]) =>
        html`<button class="small" onClick=${() => act(action, jobs)}>${label}</button>`,
    )}
    <button class="small ghost push" onClick=${() => state.open(jobs[0].id)}>Only the first</button>
  </div>`;
}
