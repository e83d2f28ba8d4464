/** The numbers of the curves as a table. */
import { drawn, epochs } from "../epochs.js";
import { html } from "../html.js";
import * as state from "../state.js";
import { percent, title } from "../words.js";

const COLUMNS = /** @type {const} */ ([
  ["test loss", "test_loss"],
  ["train loss", "train_loss"],
  ["test accuracy", "test_accuracy"],
  ["train accuracy", "train_accuracy"],
]);

/** @param {string} column @param {number} value */
const shown = (column, value) => (column.includes("loss") ? value.toPrecision(4) : percent(value));

export function Table() {
  drawn.value; // tells when the columns have grown
  const jobs = state.chosen.value.filter(({ id }) => epochs.has(id));
  const rows = jobs.flatMap((job) => {
    const columns = /** @type {import("../records.js").Columns} */ (epochs.get(job.id));
    return columns.epoch.map((epoch, index) => ({ job, columns, epoch, index })).reverse();
  });
  return html`<div class="card numbers" tabindex="0" role="region" aria-label="Epochs">
    <table>
      <thead><tr>${jobs.length > 1 && html`<th scope="col">job</th>`}<th scope="col">epoch</th>${COLUMNS.map(([label]) => html`<th scope="col">${label}</th>`)}</tr></thead>
      <tbody>${rows.map(
        ({ job, columns, epoch, index }) => html`<tr key=${`${job.id} ${epoch}`}>
          ${jobs.length > 1 && html`<td>${title(job)}</td>`}<th scope="row">${epoch}</th>
          ${COLUMNS.map(([, name]) => html`<td>${shown(name, columns[name][index])}</td>`)}
        </tr>`,
      )}</tbody>
    </table>
  </div>`;
}
