/**
 * Several jobs side by side: what they have reached, and exactly the fields in which they differ.
 *
 * @import { Job } from "../records.js"
 */

import { useComputed } from "@preact/signals";
import { markers } from "../curves/charts.js";
import { drawn, secondsOf } from "../epochs.js";
import { html } from "../html.js";
import * as state from "../state.js";
import { duration, percent, title } from "../words.js";

/** These name a job; they do not tell how it learns. */
const NO_CAUSES = ["preset", "name", "tags", "metadata"];

/**
 * Return a spec as one value for each field, also those within other fields.
 *
 * @param {Record<string, any>} spec
 * @param {string} [prefix]
 * @returns {Record<string, unknown>}
 */
export function flat(spec, prefix = "") {
  const fields = Object.entries(spec).flatMap(([name, value]) => {
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
    return isGroup ? Object.entries(flat(value, `${prefix}${name}.`)) : [[prefix + name, value]];
  });
  return Object.fromEntries(fields);
}

/** Specs never change, so each is taken apart once. @type {WeakMap<Job["spec"], Record<string, unknown>>} */
const fieldsBySpec = new WeakMap();

/** @param {Job} job @returns {Record<string, unknown>} */
function fieldsOf({ spec }) {
  const known = fieldsBySpec.get(spec) ?? flat(spec);
  fieldsBySpec.set(spec, known);
  return known;
}

/** @param {Job[]} jobs @returns {string[]} the fields in which not all of the jobs agree */
export function differing(jobs) {
  const specs = jobs.map(fieldsOf);
  const names = [...new Set(specs.flatMap(Object.keys))];
  return names.filter((name) => {
    const values = new Set(specs.map((spec) => JSON.stringify(spec[name])));
    return values.size > 1 && !NO_CAUSES.includes(name.split(".")[0]);
  });
}

/** @param {unknown} value */
function shown(value) {
  if (value === undefined || value === null) return "–";
  if (Array.isArray(value)) return value.join("-") || "none";
  return String(value);
}

/** @param {string} name */
const labelOf = (name) =>
  name
    .replace(/\.type$/, "")
    .replaceAll("_", " ")
    .replaceAll(".", " ");

/** @param {{ job: Job, names: string[], isBest: boolean }} props */
function Row({ job, names, isBest }) {
  const { best, latest } = job.metrics;
  const fields = fieldsOf(job);
  const hover = (/** @type {string | null} */ id) => () => {
    state.hovered.value = id;
  };
  const accuracy = percent(best?.test_accuracy);
  const time = useComputed(() => {
    drawn.value; // tells when the times have grown
    return duration(secondsOf(job.id)) || "–";
  });
  return html`<tr class=${state.hovered.value === job.id ? "marked" : ""} style=${{ "--tint": state.tints.value.get(job.id) }}
      onPointerEnter=${hover(job.id)} onPointerLeave=${hover(null)}>
    <th scope="row"><i></i><button class="link" onClick=${() => state.open(job.id)}>${title(job)}</button> ${markers.value.get(job.id)}</th>
    <td>${isBest ? html`<b>${accuracy}</b>` : accuracy}</td>
    <td>${percent(latest?.test_accuracy)}</td>
    <td>${latest?.test_loss.toFixed(4) ?? "–"}</td>
    <td>${time}</td>
    ${names.map((name) => html`<td>${shown(fields[name])}</td>`)}
  </tr>`;
}

export function Compare() {
  const jobs = state.chosen.value;
  const names = differing(jobs);
  const top = Math.max(...jobs.map((job) => job.metrics.best?.test_accuracy ?? 0));
  return html`<div class="compare" tabindex="0" role="region" aria-label="What the jobs have reached, and in what they differ">
    <table>
      <thead><tr>
        <th scope="col">job</th><th scope="col">best</th><th scope="col">last</th><th scope="col">test loss</th><th scope="col">time</th>
        ${names.map((name) => html`<th scope="col">${labelOf(name)}</th>`)}
      </tr></thead>
      <tbody>${jobs.map((job) => html`<${Row} key=${job.id} job=${job} names=${names} isBest=${job.metrics.best?.test_accuracy === top} />`)}</tbody>
    </table>
  </div>`;
}
