/**
 * Mistakes: which digits the network confuses, how often, and the pictures on which it does.
 *
 * @import { ReadonlySignal, Signal } from "@preact/signals"
 * @import { Job } from "../records.js"
 */
import { computed, effect, signal } from "@preact/signals";
import { addressedSignal } from "../address.js";
import { get } from "../api.js";
import { html, useStyles } from "../html.js";
import * as state from "../state.js";
import { newestOf } from "../weights/layers.js";
import { chance, percent, title, whole } from "../words.js";
import { Sheet, samplesOf } from "./samples.js";

const PAGE = 60;
const MOST = 400;
/** While a job trains, each checkpoint has other mistakes; they need not be counted each time. */
const PAUSE_MS = 1000;
const DIGITS = Array.from({ length: 10 }, (_, digit) => digit);

/**
 * @typedef {object} Evaluation as the API returns it
 * @property {number} rows
 * @property {number} loss
 * @property {number} accuracy
 * @property {number} mistakes
 * @property {number[][]} confusion rows are true digits, columns what the network says
 * @property {{label: number, precision: number | null, recall: number | null, f1: number | null, rows: number}[]} classes
 *
 * @typedef {{index: number, label: number, predicted: number, probability: number}} Mistake
 * @typedef {{data: Mistake[], total: number}} Mistakes
 */

/** The cell whose pictures are shown: the true digit and what the network says, such as "4-9". @type {Signal<string | null>} */
const cell = signal(null);
addressedSignal("cell", cell, null, (text) => (/^\d-\d$/.test(text) ? text : null));
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
/** @type {ReadonlySignal<(Evaluation & {ref: string}) | null>} */
const evaluation = newestOf(
  network,
  ({ key }) => key,
  async ({ ref }) => ({ ...(await get(`/v1/models/${ref}/evaluation.json`)), ref }),
  PAUSE_MS,
);

/** The other job, if two are compared. */
const rival = computed(() => {
  const [, second, ...more] = state.chosen.value;
  return second?.checkpoint && !more.length ? second.id : null;
});
const question = computed(() => {
  if (!network.value) return null;
  const { ref, key } = network.value;
  const [label, predicted] = cell.value?.split("-") ?? [];
  const where = cell.value ? `&label=${label}&predicted=${predicted}` : "";
  const query = `limit=${limit.value}${where}`;
  if (!rival.value || readers.value === "all") return { key, path: `${ref}/mistakes?${query}` };
  // What only one of two networks reads is a mistake of the other one.
  const [wrong, right] = readers.value === "first" ? [rival.value, ref] : [ref, rival.value];
  return { key, path: `${wrong}/mistakes?${query}&unlike=${right}` };
});
/** @type {ReadonlySignal<Mistakes | null>} */
const mistakes = newestOf(
  question,
  ({ key, path }) => `${key} ${path}`,
  ({ path }) => get(`/v1/models/${path}`),
  PAUSE_MS,
);
const pictures = samplesOf(
  computed(() => {
    if (!mistakes.value) return null;
    const dataset = state.lead.value?.spec.dataset ?? "mnist";
    return { dataset, split: "test", indices: mistakes.value.data.map(({ index }) => index) };
  }),
);

// --- The table ------------------------------------------------------------------------------------

/** @param {KeyboardEvent} event moves from cell to cell */
function onArrow(event) {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const [down, right] = moves[/** @type {keyof typeof moves} */ (event.key)] ?? [0, 0];
  const here = /** @type {HTMLElement} */ (event.target).dataset.cell?.split("-").map(Number);
  if (!here || (!down && !right)) return;
  event.preventDefault();
  const table = /** @type {HTMLElement} */ (event.currentTarget);
  const next = `${here[0] + down}-${here[1] + right}`;
  /** @type {HTMLElement | null} */ (table.querySelector(`[data-cell="${next}"]`))?.focus();
}

/** @param {{ found: Evaluation }} props */
function Confusion({ found }) {
  const mistaken = found.confusion.flatMap((row, digit) => row.filter((_, said) => said !== digit));
  const most = Math.max(1, ...mistaken);
  return html`<table class="confusion" onKeyDown=${onArrow}>
    <caption class="unseen">Rows: the true digit. Columns: what the network says.</caption>
    <thead>
      <tr><td></td><th class="side" colspan="10" scope="colgroup">read as</th></tr>
      <tr><th class="side" scope="col">digit</th>${DIGITS.map((said) => html`<th scope="col">${said}</th>`)}</tr>
    </thead>
    <tbody>${found.confusion.map(
      (row, digit) => html`<tr>
      <th scope="row">${digit}</th>
      ${row.map((count, said) => html`<${Cell} digit=${digit} said=${said} count=${count} share=${count / most} />`)}
    </tr>`,
    )}</tbody>
  </table>`;
}

/** @param {{ digit: number, said: number, count: number, share: number }} props */
function Cell({ digit, said, count, share }) {
  const name = `${digit}-${said}`;
  const isRight = digit === said;
  const isTabStop = name === (cell.value ?? "0-1");
  const words = `${digit} read as ${said}: ${count}`;
  return html`<td>
    <button data-cell=${name} class=${isRight ? "right" : ""} style=${isRight ? undefined : { "--share": share }} tabindex=${isTabStop ? 0 : -1}
      aria-pressed=${cell.value === name} aria-label=${words} title=${words} aria-disabled=${isRight || !count}
      onClick=${() => choose(name, isRight || !count)}>${count || "·"}</button>
  </td>`;
}

/** @param {string} name of a cell @param {boolean} isEmpty */
function choose(name, isEmpty) {
  if (!isEmpty) cell.value = cell.value === name ? null : name;
}

// --- The pictures ---------------------------------------------------------------------------------

function Heading() {
  if (!cell.value)
    return html`<h3>${readers.value === "all" || !rival.value ? "Its surest mistakes" : "The surest mistakes"}</h3>`;
  const [digit, said] = cell.value.split("-");
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
  return html`<div class="switch" role="group" aria-label="Which digits">
    ${choices.map(([value, label]) => html`<button class="small" aria-pressed=${readers.value === value} onClick=${() => (readers.value = value)}>${label}</button>`)}
  </div>`;
}

function Pictures() {
  const [found, shown] = [mistakes.value, pictures.value];
  if (!found || !shown) return html`<p class="hush">Looking for its mistakes…</p>`;
  const { data, total } = found;
  if (!total) return html`<p class="hush">There are none.</p>`;
  const byIndex = new Map(data.map((each) => [each.index, each]));
  const of = (/** @type {number} */ index) => byIndex.get(index);
  const label = (/** @type {number} */ index) =>
    `Test digit ${index}: a ${of(index)?.label}, read as ${of(index)?.predicted}`;
  const caption = (/** @type {number} */ index) => {
    const mistake = of(index);
    return (
      mistake && html`${mistake.label} → ${mistake.predicted}<br />${chance(mistake.probability)}`
    );
  };
  const isMore = data.length < total && limit.value < MOST;
  return html`<${Sheet} samples=${shown} label=${label} caption=${caption} />
    <p class="caption">${data.length} of ${total}${isMore && html` <button class="small" onClick=${() => (limit.value = Math.min(MOST, limit.value + PAGE))}>More</button>`}</p>`;
}

/** @param {{ found: Evaluation }} props */
function Classes({ found }) {
  return html`<details class="per-digit"><summary>Numbers of each digit</summary>
    <table><thead><tr><th scope="col">digit</th><th scope="col" title="Of the digits that it reads as this one, how many are">precision</th><th scope="col" title="Of these digits, how many it reads">recall</th><th scope="col" title="The harmonic mean of both">F1</th><th scope="col">digits</th></tr></thead>
    <tbody>${found.classes.map(({ label, precision, recall, f1, rows }) => html`<tr><th scope="row">${label}</th><td>${percent(precision, 1)}</td><td>${percent(recall, 1)}</td><td>${percent(f1, 1)}</td><td>${rows}</td></tr>`)}</tbody></table>
  </details>`;
}

export function Mistakes() {
  useStyles("lab/tabs.css");
  if (!isThere.value) return html`<p class="hush">No network yet, so it makes no mistakes.</p>`;
  const found = evaluation.value;
  if (!found) return html`<p class="hush">Reading the 10 000 test digits…</p>`;
  const [first, second] = state.chosen.value;
  return html`<section class="mistakes" aria-label="Mistakes">
    <div class=${found.ref === network.value?.ref ? "" : "old"}>
      <p class="summary"><b>${whole(found.mistakes)}</b> of ${whole(found.rows)} test digits are read wrongly. <span class="hush">Accuracy ${percent(found.accuracy)}, loss ${found.loss.toFixed(4)}.</span></p>
      <${Confusion} found=${found} />
      <${Classes} found=${found} />
    </div>
    <div>
      ${rival.value && html`<${ReaderSwitch} first=${first} second=${second} />`}
      <${Heading} /><${Pictures} />
    </div>
  </section>`;
}
