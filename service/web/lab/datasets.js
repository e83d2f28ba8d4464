/**
 * The data: which sets there are, their classes and pictures, and what was found in their files.
 *
 * @import { ReadonlySignal, Signal } from "@preact/signals"
 * @import { Dataset } from "../records.js"
 * @import { Report } from "./set_report.js"
 */
import { computed, effect, signal } from "@preact/signals";
import { addressedSignal } from "../address.js";
import { get, getArray } from "../api.js";
import { bareName, sets } from "../datasets.js";
import { html, useStyles } from "../html.js";
import { newestOf } from "../weights/layers.js";
import { percent, whole } from "../words.js";
import { Sheet, samplesOf } from "./samples.js";
import { Choice, choose, dataset, isFinal, name } from "./set_choice.js";
import { ReportView } from "./set_report.js";
import { Adding, offer } from "./set_upload.js";

const PAGE = 120;
/** Names of so many characters fit into narrow buttons. */
const SHORT = 4;
const SPLITS = ["test", "validation", "train"];

/** The split that was chosen last; not every set has it. */
const wantedSplit = signal("test");
/** The splits of the set that is shown. */
const splits = computed(() => SPLITS.filter((each) => dataset.value?.class_counts?.[each]));
const split = computed(() =>
  splits.value.includes(wantedSplit.value) ? wantedSplit.value : "test",
);
/** The class whose pictures are shown; null for all. @type {Signal<number | null>} */
const label = signal(null);
/** How many pictures are before the first one that is shown. */
const offset = signal(0);
addressedSignal("class", label, null, (text) => (/^\d{1,3}$/.test(text) ? Number(text) : null));

/** The set whose pictures can be seen. */
const pictured = computed(() => {
  const found = dataset.value;
  const isShown = found?.state === "ready" && found.input !== "vector";
  return isShown && found.name === name.value ? found.name : null;
});
const labels = newestOf(
  computed(() => pictured.value && `${pictured.value}/${split.value}`),
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
    const set = pictured.value;
    if (set === null || labels.value?.wanted !== `${set}/${split.value}`) return null;
    const indices = rows.value.slice(offset.value, offset.value + PAGE);
    return { dataset: set, split: split.value, indices };
  }),
);
/** The report about the set that is shown; the one that is part of the service has none. */
const report = /** @type {ReadonlySignal<Report | null>} */ (
  newestOf(
    computed(() => {
      const found = dataset.value;
      const isOwn = found?.name === name.value && found?.created_at;
      return isOwn && isFinal(found) ? `${found.name} ${found.state}` : null;
    }),
    String,
    (wanted) => get(`/v1/datasets/${wanted.split(" ")[0]}/report`),
  )
);

let shownBefore = "";
effect(() => {
  // Another set begins with all of its classes; the first one with what the address says.
  const shown = name.value ?? shownBefore;
  if (shownBefore && shown !== shownBefore) show(label, null);
  shownBefore = shown;
});

/** @template T @param {Signal<T>} choice @param {T} value */
function show(choice, value) {
  choice.value = value;
  offset.value = 0;
}

/** @param {{ found: Dataset }} props */
function Classes({ found }) {
  const counts = found.class_counts?.[split.value] ?? [];
  const most = Math.max(1, ...counts);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const areLong = found.classes?.some((name) => name.length > SHORT);
  return html`<div class=${`classes ${areLong ? "long" : ""}`} role="group" aria-label="Class">
    <button aria-pressed=${label.value === null} onClick=${() => show(label, null)}><b>all</b> <span>${whole(total)}</span></button>
    ${counts.map(
      (
        count,
        index,
      ) => html`<button aria-pressed=${label.value === index} title=${found.classes?.[index]} onClick=${() => show(label, index)}>
      <b>${found.classes?.[index]}</b> <span>${whole(count)}</span><i style=${{ width: `${(100 * count) / most}%` }}></i>
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

const WORDS = {
  collecting: "Samples are added to it, until it is frozen.",
  receiving: "Its files are arriving.",
  queued: "It is here, and waits for its check.",
  checking: "It is being checked.",
  failed: "Its files can’t be used.",
};

/** A set that can't be used yet, or never. @param {{ found: Dataset }} props */
function Unready({ found }) {
  const words = WORDS[/** @type {keyof typeof WORDS} */ (found.state)];
  return html`<div role="status">
    <p class=${found.state === "failed" ? "standing failed" : "standing"}><b>${words}</b> ${found.reason?.message}</p>
    ${found.state === "checking" && html`<progress max="1" value=${found.progress ?? 0} aria-label=${`Checked: ${percent(found.progress, 0)}`}></progress>`}
  </div>`;
}

/** @param {{ found: Dataset }} props */
function Pictures({ found }) {
  const nameOf = (/** @type {number} */ row) => found.classes?.[labels.value?.data[row] ?? 0];
  const article = (/** @type {string | undefined} */ word) => (word?.length === 1 ? "A" : "One of");
  const words = (/** @type {number} */ row) => `${article(nameOf(row))} ${nameOf(row)}, row ${row}`;
  return html`<div class="choices">
      <div class="switch" role="group" aria-label="Split">
        ${splits.value.map((each) => html`<button class="small" aria-pressed=${split.value === each} onClick=${() => show(wantedSplit, each)}>${each}</button>`)}
      </div>
      <${Paging} />
    </div>
    <${Classes} found=${found} />
    ${found.input === "vector" && html`<p class="hush">Its rows are ${found.shape?.[0]} numbers each, and no pictures.</p>`}
    ${samples.value && html`<${Sheet} samples=${samples.value} label=${words} />`}`;
}

/** Take files that are dropped, before the pad does. @param {DragEvent} event */
function take(event) {
  const files = [...(event.dataTransfer?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  event.stopPropagation();
  offer(files);
}

/** @param {Dataset} found @returns {string} whose it is */
const rights = ({ attribution, license }) =>
  [attribution, license && `Licence: ${license}.`].filter(Boolean).join(" ");

/** Whether no set has the name that is looked at, such as that of an old job. */
const isGone = () => sets.value?.every((each) => each.name !== bareName(name.value ?? "")) ?? false;

export function Data() {
  useStyles("lab/tabs.css");
  const found = dataset.value?.name === name.value ? dataset.value : null;
  return html`<section class="data" aria-label="Data" onDrop=${take}>
    <${Choice} found=${found} />
    <${Adding} onSent=${choose} />
    ${!found && html`<p class="hush">${isGone() ? "There is no data set of this name any more. Its networks can still be asked." : "Reading what the data is…"}</p>`}
    ${found && html`<p><b>${found.name}</b> ${found.description} <span class="caption">${rights(found)}</span></p>`}
    ${found && found.state !== "ready" && html`<${Unready} found=${found} />`}
    ${report.value?.dataset === found?.name && report.value && html`<${ReportView} report=${report.value} />`}
    ${found?.state === "ready" && html`<${Pictures} found=${found} />`}
  </section>`;
}
