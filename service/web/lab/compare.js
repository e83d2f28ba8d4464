/**
 * Several jobs side by side: what they have reached, and exactly the fields in which they differ.
 *
 * @import { Job } from "../records.js"
 */

import { computed, useComputed } from "@preact/signals";
import { markers } from "../curves/charts.js";
import { drawn, secondsOf } from "../epochs.js";
import { html } from "../html.js";
import { useShown } from "../jobs/shown.js";
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

/** @param {Job["spec"]} spec @returns {Record<string, unknown>} */
function fieldsOf(spec) {
  const known = fieldsBySpec.get(spec) ?? flat(spec);
  fieldsBySpec.set(spec, known);
  return known;
}

let known = /** @type {Job["spec"][]} */ ([]);
/** The specs of the chosen jobs, in a list that stays the same until one of them changes. */
const specs = computed(() => {
  const found = state.chosen.value.map(({ spec }) => spec);
  const isSame = found.length === known.length && found.every((spec, at) => spec === known[at]);
  if (!isSame) known = found;
  return known;
});

/** The fields in which not all of the chosen jobs agree. */
const differing = computed(() => {
  const all = specs.value.map(fieldsOf);
  const names = [...new Set(all.flatMap(Object.keys))];
  return names.filter((name) => {
    const values = new Set(all.map((fields) => JSON.stringify(fields[name])));
    return values.size > 1 && !NO_CAUSES.includes(name.split(".")[0]);
  });
});

/** The best accuracy of all chosen jobs. */
const top = computed(() =>
  Math.max(...state.chosen.value.map((job) => job.metrics.best?.test_accuracy ?? 0)),
);

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

/**
 * A row, whose news is written into its cells and renders nothing.
 *
 * @param {{ id: string, names: string[] }} props
 */
function Row({ id, names }) {
  const spec = useShown(id, (job) => job.spec);
  const name = useShown(id, title);
  const best = useShown(id, ({ metrics }) => {
    const accuracy = metrics.best?.test_accuracy;
    return accuracy === top.value ? html`<b>${percent(accuracy)}</b>` : percent(accuracy);
  });
  const last = useShown(id, ({ metrics }) => percent(metrics.latest?.test_accuracy));
  const loss = useShown(id, ({ metrics }) => metrics.latest?.test_loss.toFixed(4) ?? "–");
  const time = useComputed(() => {
    drawn.value; // tells when the times have grown
    return duration(secondsOf(id)) || "–";
  });
  const look = useComputed(() => (state.hovered.value === id ? "marked" : ""));
  const hover = (/** @type {string | null} */ hovered) => () => {
    state.hovered.value = hovered;
  };
  const fields = spec.value ? fieldsOf(spec.value) : {};
  return html`<tr class=${look} style=${{ "--tint": state.tints.value.get(id) }} onPointerEnter=${hover(id)} onPointerLeave=${hover(null)}>
    <th scope="row"><i></i><button class="link" onClick=${() => state.open(id)}>${name}</button> ${markers.value.get(id)}</th>
    <td>${best}</td>
    <td>${last}</td>
    <td>${loss}</td>
    <td>${time}</td>
    ${names.map((field) => html`<td>${shown(fields[field])}</td>`)}
  </tr>`;
}

/** A text, which stays the same while the jobs change. */
const ids = computed(() => state.chosen.value.map((job) => job.id).join(" "));

export function Compare() {
  const names = differing.value;
  return html`<div class="compare" tabindex="0" role="region" aria-label="What the jobs have reached, and in what they differ">
    <table>
      <thead><tr>
        <th scope="col">job</th><th scope="col">best</th><th scope="col">last</th><th scope="col">test loss</th><th scope="col">time</th>
        ${names.map((name) => html`<th scope="col">${labelOf(name)}</th>`)}
      </tr></thead>
      <tbody>${ids.value.split(" ").map((id) => html`<${Row} key=${id} id=${id} names=${names} />`)}</tbody>
    </table>
  </div>`;
}
