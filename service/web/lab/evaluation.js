/**
 * Mistakes: which digits the network confuses, how often, and the pictures on which it does.
 *
 * @import { ReadonlySignal, Signal } from "@preact/signals"
 * @import { Job } from "../records.js"
 */
import { computed, effect, signal } from "@preact/signals";
import { addressedSignal } from "../address.js";
import { get, Problem } from "../api.js";
import { hasItsSet, nounOfJob } from "../datasets.js";
import { html, useStyles } from "../html.js";
import * as state from "../state.js";
import { newestOf } from "../weights/layers.js";
import { chance, percent, title, whole } from "../words.js";
import { Confusion, MANY } from "./confusion.js";
import { Sheet, samplesOf } from "./samples.js";

const PAGE = 60;
const MOST = 400;
/** While a job trains, each checkpoint has other mistakes; they need not be counted each time. */
const PAUSE_MS = 1000;
/** What keeps a data set from being read until somebody sends it again. */
const UNREADABLE = new Set(["dataset-gone", "dataset-damaged"]);

/**
 * @typedef {object} Evaluation as the API returns it
 * @property {number} rows
 * @property {number} loss
 * @property {number} accuracy
 * @property {number} misread
 * @property {{counts: number[][]}} confusion rows are true classes, columns what the network says
 * @property {{actual: string, predicted: string, count: number}[]} confused the most frequent first
 * @property {{confusion_png: string}} links
 * @property {{name: string, precision: number | null, recall: number | null, f1: number | null, support: number}[]} classes
 *
 * @typedef {{index: number, actual: string, predicted: string, probability: number}} Mistake
 * @typedef {{data: Mistake[], total: number, dataset: string}} Mistakes
 */

/** The cell whose pictures are shown: the true digit and what the network says, such as "4-9". @type {Signal<string | null>} */
const cell = signal(null);
addressedSignal("cell", cell, null, (text) => (/^\d{1,3}-\d{1,3}$/.test(text) ? text : null));
/** @typedef {"all" | "first" | "second"} Readers @type {Signal<Readers>} */
const readers = signal("all");
const leading = computed(() => state.lead.value?.id);
/** How many pictures are shown. */
const limit = signal(PAGE);
effect(() => {
  cell.value; // another question begins with its surest pictures
  readers.value;
  leading.value;
  limit.value = PAGE;
});

const isShown = computed(() => state.tab.value === "mistakes");
const isThere = computed(
  () => !!state.asked.value && state.asked.value.id === state.lead.value?.id,
);

// --- Reading --------------------------------------------------------------------------------------

const network = computed(() => {
  const [ref, key] = [state.ref.value, state.weightsKey.value];
  return isShown.value && isThere.value && ref && key ? { ref, key } : null;
});
/** Why there is no evaluation, and will not be, in the words of the server. */
const hindrance = signal("");
/** @type {ReadonlySignal<(Evaluation & {ref: string}) | null>} */
const evaluation = newestOf(
  network,
  ({ key }) => key,
  async ({ ref }) => {
    hindrance.value = "";
    try {
      return { ...(await get(`/v1/models/${ref}/evaluation`)), ref };
    } catch (error) {
      if (!(error instanceof Problem && UNREADABLE.has(error.code ?? ""))) throw error;
      hindrance.value = error.message;
      return null;
    }
  },
  PAUSE_MS,
);

/** Whether the pictures of the test set can be had; null while that is not known. */
const hasPictures = computed(() => state.lead.value && hasItsSet(state.lead.value));

/** The other job, if two are compared. */
const rival = computed(() => {
  const [, second, ...more] = state.chosen.value;
  return second?.checkpoint && !more.length ? second.id : null;
});
/** The names of the classes, which say what a cell of the table is. */
const names = computed(() => {
  const found = evaluation.value;
  // The evaluation of another job may still be shown, and its classes may be others.
  if (!found || jobOf(found.ref) !== jobOf(state.ref.value ?? "")) return null;
  return found.classes.map(({ name }) => name);
});
/** @param {string} ref such as job_…@3 @returns {string} its job */
const jobOf = (ref) => ref.split("@")[0];

/** @param {string} cell such as "4-9" @param {string[]} names */
function cellQuery(cell, names) {
  const chosen = cell.split("-").map((index) => names[+index]);
  // The cell of another network's table may name classes that this one does not have.
  if (chosen.some((name) => name === undefined)) return "";
  const [actual, predicted] = chosen.map(encodeURIComponent);
  return `&actual=${actual}&predicted=${predicted}`;
}

const question = computed(() => {
  if (!network.value || (cell.value && !names.value)) return null;
  // Of a set that is gone, only those mistakes can be read that were counted before.
  if (!hasPictures.value && !evaluation.value) return null;
  const { ref, key } = network.value;
  const where = cell.value && names.value ? cellQuery(cell.value, names.value) : "";
  const query = `limit=${limit.value}${where}`;
  const dataset = state.lead.value?.spec.dataset ?? "mnist";
  if (!rival.value || readers.value === "all")
    return { key, dataset, path: `${ref}/evaluation/misread.json?${query}` };
  // What only one of two networks reads is a mistake of the other one.
  const [wrong, right] = readers.value === "first" ? [rival.value, ref] : [ref, rival.value];
  return { key, dataset, path: `${wrong}/evaluation/misread.json?${query}&unlike=${right}` };
});
/** @type {ReadonlySignal<Mistakes | null>} */
const mistakes = newestOf(
  question,
  ({ key, path }) => `${key} ${path}`,
  async ({ path, dataset }) => ({ ...(await get(`/v1/models/${path}`)), dataset }),
  PAUSE_MS,
);
const pictures = samplesOf(
  computed(() => {
    if (!mistakes.value || !hasPictures.value || noun() === "row") return null;
    const { dataset, data } = mistakes.value;
    return { dataset, split: "test", indices: data.map(({ index }) => index) };
  }),
);

// --- The pictures ---------------------------------------------------------------------------------

/** What a row of the data set is called. */
const noun = () => nounOfJob(state.lead.value);

/** @param {string} name of a cell */
function choose(name) {
  cell.value = cell.value === name ? null : name;
}

/** Rows of which there are no pictures. @param {{ found: Mistakes }} props */
const Rows = ({ found }) => html`<ul>
  ${found.data.map(({ index, actual, predicted, probability }) => html`<li>Row ${index}: ${actual} read as ${predicted}, ${chance(probability)}</li>`)}
</ul>`;

function Heading() {
  if (!cell.value)
    return html`<h3>${readers.value === "all" || !rival.value ? "Its surest mistakes" : "The surest mistakes"}</h3>`;
  const [digit, said] = cell.value.split("-").map((index) => names.value?.[+index] ?? index);
  return html`<h3>${digit} read as ${said}, the surest first <button class="small" onClick=${() => (cell.value = null)}>All</button></h3>`;
}

/** Which of two networks reads the digits. @param {{ first: Job, second: Job }} props */
function ReaderSwitch({ first, second }) {
  /** @type {[Readers, string][]} */
  const choices = [
    ["all", `mistakes of ${title(first)}`],
    ["first", `only ${title(first)} reads`],
    ["second", `only ${title(second)} reads`],
  ];
  return html`<div class="switch" role="group" aria-label="Which of them">
    ${choices.map(([value, label]) => html`<button class="small" aria-pressed=${readers.value === value} onClick=${() => (readers.value = value)}>${label}</button>`)}
  </div>`;
}

function Pictures() {
  const [found, shown] = [mistakes.value, pictures.value];
  if (found?.total === 0) return html`<p class="hush">There are none.</p>`;
  if (found && (noun() === "row" || hasPictures.value === false))
    return html`<${Rows} found=${found} />`;
  if (!found || !shown) return html`<p class="hush">Looking for its mistakes…</p>`;
  const { data, total } = found;
  const byIndex = new Map(data.map((each) => [each.index, each]));
  const of = (/** @type {number} */ index) => byIndex.get(index);
  const label = (/** @type {number} */ index) =>
    `Test ${noun()} ${index}: a ${of(index)?.actual}, read as ${of(index)?.predicted}`;
  const caption = (/** @type {number} */ index) => {
    const mistake = of(index);
    return (
      mistake && html`${mistake.actual} → ${mistake.predicted}<br />${chance(mistake.probability)}`
    );
  };
  const isMore = data.length < total && limit.value < MOST;
  return html`<${Sheet} samples=${shown} label=${label} caption=${caption} />
    <p class="caption">${data.length} of ${total}${isMore && html` <button class="small" onClick=${() => (limit.value = Math.min(MOST, limit.value + PAGE))}>More</button>`}</p>`;
}

/** @param {{ found: Evaluation }} props */
function Classes({ found }) {
  return html`<details class="per-digit"><summary>Numbers of each ${noun() === "digit" ? "digit" : "class"}</summary>
    <table><thead><tr><th scope="col">${noun() === "digit" ? "digit" : "class"}</th><th scope="col" title="Of those that it reads as this one, how many are">precision</th><th scope="col" title="Of these, how many it reads">recall</th><th scope="col" title="The harmonic mean of both">F1</th><th scope="col">${noun()}s</th></tr></thead>
    <tbody>${found.classes.map(({ name, precision, recall, f1, support }) => html`<tr><th scope="row">${name}</th><td>${percent(precision, 1)}</td><td>${percent(recall, 1)}</td><td>${percent(f1, 1)}</td><td>${support}</td></tr>`)}</tbody></table>
  </details>`;
}

export function Mistakes() {
  useStyles("lab/tabs.css");
  if (!isThere.value) return html`<p class="hush">No network yet, so it makes no mistakes.</p>`;
  const found = evaluation.value;
  if (!found && hindrance.value) return html`<p class="hush">${hindrance.value}</p>`;
  if (!found) return html`<p class="hush">Reading all test ${noun()}s…</p>`;
  const [first, second] = state.chosen.value;
  const isBroad = found.classes.length > MANY;
  return html`<section class=${isBroad ? "mistakes broad" : "mistakes"} aria-label="Mistakes">
    <div class=${found.ref === network.value?.ref ? "" : "old"}>
      <p class="summary"><b>${whole(found.misread)}</b> of ${whole(found.rows)} test ${noun()}s are read wrongly. <span class="hush">Accuracy ${percent(found.accuracy)}, loss ${found.loss.toFixed(4)}.</span></p>
      <${Confusion} found=${found} noun=${noun() === "digit" ? "digit" : "class"} cell=${cell.value} choose=${choose} />
      <${Classes} found=${found} />
    </div>
    <div>
      ${rival.value && html`<${ReaderSwitch} first=${first} second=${second} />`}
      <${Heading} /><${Pictures} />
    </div>
  </section>`;
}
