/**
 * The spec of a job and the addresses of its files.
 *
 * @import { Job } from "../records.js"
 */
import { ROOT } from "../api.js";
import { html } from "../html.js";
import * as state from "../state.js";

/** @param {Job} job @returns {[string, string, string][]} name, address, and what is in it */
function filesOf(job) {
  const [jobs, models] = [
    `/v1/jobs/${job.id}`,
    `/v1/models/${state.at.value === null ? job.id : `${job.id}@${state.at.value}`}`,
  ];
  /** @type {[string, string, string][]} */
  const measured = [
    ["curves.png", `${jobs}/curves.png`, "the learning curves"],
    ["curves.svg", `${jobs}/curves.svg`, "the same as a drawing"],
    ["epochs.csv", `${jobs}/epochs.csv`, "the numbers of each epoch, for a spreadsheet"],
  ];
  const layers = job.spec.hidden.length + 1;
  /** @type {[string, string, string][]} */
  const trained = [
    [
      "weights.safetensors",
      `${models}/weights.safetensors`,
      "the weights, as other libraries read them",
    ],
    ["weights.npz", `${models}/weights.npz`, "the weights for NumPy"],
    ...Array.from({ length: layers }, (_, index) => {
      const name = layers > 1 ? `weights.png of layer ${index + 1}` : "weights.png";
      return /** @type {[string, string, string]} */ ([
        name,
        `${models}/layers/${index + 1}/weights.png`,
        "the weights as pictures",
      ]);
    }),
  ];
  return [
    ["job.json", jobs, "the job's record"],
    ...(job.metrics.latest ? measured : []),
    ...(job.checkpoint ? trained : []),
  ];
}

export function Spec() {
  const job = state.lead.value;
  if (!job) return null;
  return html`<div class="spec">
    <div>
      <h3>Files</h3>
      <ul>${filesOf(job).map(
        ([name, path, words]) =>
          html`<li><a href=${ROOT + path}>${name}</a> <span class="hush">${words}</span></li>`,
      )}</ul>
      ${job.metrics.latest && html`<a class="picture" href=${`${ROOT}/v1/jobs/${job.id}/curves.svg`}><img src=${`${ROOT}/v1/jobs/${job.id}/curves.svg`} alt="The learning curves as the service draws them" width="450" height="210" loading="lazy" /></a>`}
    </div>
    <div>
      <h3>Spec</h3>
      <pre tabindex="0" aria-label="Spec">${JSON.stringify(job.spec, null, 2)}</pre>
    </div>
  </div>`;
}
