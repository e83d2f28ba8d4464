/**
 * The data: its classes, its pictures, and to whom it belongs.
 *
 * @import { Signal } from "@preact/signals"
 */
import { computed, signal } from "@preact/signals";
import { addressedSignal } from "../address.js";
import { get, getArray } from "../api.js";
import { html, useStyles } from "../html.js";
import * as state from "../state.js";
import { newestOf } from "../weights/layers.js";
import { whole } from "../words.js";
import { Sheet, samplesOf } from "./samples.js";

const PAGE = 120;
const DEFAULT = "mnist";
const SPLITS = /** @type {const} */ (["test", "train"]);

/**
 * @typedef {object} Dataset as the API describes it
 * @property {string} name
 * @property {string} description
 * @property {string[]} classes
 * @property {Record<"train" | "test", number[]>} class_counts
 * @property {string} license
 * @property {string} attribution
 */

/** @type {Signal<"train" | "test">} */
const split = signal("test");
/** The class whose pictures are shown; null for all. @type {Signal<number | null>} */
const label = signal(null);
/** How many pictures are before the first one that is shown. */
const offset = signal(0);
addressedSignal("class", label, null, (text) => (/^\d{1,3}$/.test(text) ? Number(text) : null));

const name = computed(() =>
  state.tab.value === "data" ? (state.lead.value?.spec.dataset ?? DEFAULT) : null,
);
/** @type {import("@preact/signals").ReadonlySignal<Dataset | null>} */
const dataset = newestOf(name, String, (wanted) => get(`/v1/datasets/${wanted}`));
const labels = newestOf(
  computed(() => name.value && `${name.value}/${split.value}`),
  String,
  async (wanted) => ({ wanted, data: (await getArray(`/v1/datasets/${wanted}/labels.npy`)).data }),
);

/** Rows of the pictures that are to be seen. */
const rows = computed(() => {
  const [all, wanted] = [labels.value?.data ?? [], label.value];
  return Array.from(all.keys()).filter((row) => wanted === null || all[row] === wanted);
});
const samples = samplesOf(
  computed(() => {
    if (name.value === null || labels.value?.wanted !== `${name.value}/${split.value}`) return null;
    const indices = rows.value.slice(offset.value, offset.value + PAGE);
    return { dataset: name.value, split: split.value, indices };
  }),
);

/** @template T @param {Signal<T>} choice @param {T} value */
function choose(choice, value) {
  choice.value = value;
  offset.value = 0;
}

/** @param {{ found: Dataset }} props */
function Classes({ found }) {
  const counts = found.class_counts[split.value];
  const most = Math.max(...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  return html`<div class="classes" role="group" aria-label="Class">
    <button aria-pressed=${label.value === null} onClick=${() => choose(label, null)}><b>all</b> <span>${total}</span></button>
    ${counts.map(
      (
        count,
        digit,
      ) => html`<button aria-pressed=${label.value === digit} onClick=${() => choose(label, digit)}>
      <b>${found.classes[digit]}</b> <span>${count}</span><i style=${{ width: `${(100 * count) / most}%` }}></i>
    </button>`,
    )}
  </div>`;
}

function Paging() {
  const last = Math.min(rows.value.length, offset.value + PAGE);
  if (rows.value.length <= PAGE) return null;
  return html`<div class="paging">
    <button class="small" aria-label="Earlier pictures" disabled=${offset.value === 0} onClick=${() => (offset.value -= PAGE)}>‹</button>
    <span>${offset.value + 1} – ${last} of ${whole(rows.value.length)}</span>
    <button class="small" aria-label="Later pictures" disabled=${last === rows.value.length} onClick=${() => (offset.value += PAGE)}>›</button>
  </div>`;
}

export function Data() {
  useStyles("lab/tabs.css");
  const found = dataset.value;
  if (!found) return html`<p class="hush">Reading what the data is…</p>`;
  const nameOf = (/** @type {number} */ row) => found.classes[labels.value?.data[row] ?? 0];
  return html`<section class="data" aria-label="Data">
    <p><b>${found.name}</b> ${found.description} <span class="caption">${found.attribution} Licence: ${found.license}.</span></p>
    <div class="choices">
      <div class="switch" role="group" aria-label="Split">
        ${SPLITS.map((each) => html`<button class="small" aria-pressed=${split.value === each} onClick=${() => choose(split, each)}>${each}</button>`)}
      </div>
      <${Paging} />
    </div>
    <${Classes} found=${found} />
    ${samples.value && html`<${Sheet} samples=${samples.value} label=${(/** @type {number} */ row) => `A ${nameOf(row)}, row ${row}`} />`}
  </section>`;
}
