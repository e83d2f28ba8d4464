/**
 * The epochs of jobs, as columns that grow while the jobs train.
 *
 * @import { Columns, Epoch, Job } from "./records.js"
 */
import { batch, signal, untracked } from "@preact/signals";
import { get } from "./api.js";
import { complain } from "./notices.js";
import { job, put, selected } from "./state.js";

/** Columns of the jobs whose curves are known. They grow in place, and `drawn` says so. @type {Map<string, Columns>} */
export const epochs = new Map();
/** Counts changes of the chosen jobs' columns, at most one for each frame. */
export const drawn = signal(0);

const MOST_JOBS = 64;

let frameAsked = false;
let isGrown = false;
/** Figures of jobs that arrived since the last frame. @type {Map<string, Job["metrics"]>} */
const fresh = new Map();

/** What finishes within a frame is shown together: every change of a job reaches all that is made of jobs. */
function askForFrame() {
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => {
    frameAsked = false;
    batch(() => {
      putFresh();
      if (isGrown) drawn.value++;
      isGrown = false;
    });
  });
}

function redraw() {
  isGrown = true;
  askForFrame();
}

function putFresh() {
  for (const [id, metrics] of fresh) {
    const shown = untracked(() => job(id))?.metrics;
    // A record of the whole job may have arrived in between.
    if (shown && lastOf(shown) < lastOf(metrics)) put({ id, metrics });
  }
  fresh.clear();
}

/** @param {Job["metrics"]} metrics @returns {number} */
const lastOf = ({ latest }) => latest?.epoch ?? 0;

/** Drop the columns of a job that is gone. @param {string} id */
export function forget(id) {
  epochs.delete(id);
}

/** Take in one finished epoch of a job. @param {string} id @param {Epoch} found */
export function addEpoch(id, found) {
  const metrics = fresh.get(id) ?? untracked(() => job(id))?.metrics;
  if (metrics) fresh.set(id, withEpoch(metrics, found));
  askForFrame();
  if (found.epoch !== lastKnown(id) + 1) {
    putFresh();
    // Something was missed. Columns that are not shown are read as soon as they are.
    if (found.epoch > lastKnown(id) && selected.peek().includes(id)) fill([id]).catch(complain);
    return;
  }
  const columns = epochs.get(id) ?? emptyColumns(found);
  epochs.set(id, columns);
  for (const [name, value] of Object.entries(found)) {
    columns[/** @type {keyof Epoch} */ (name)]?.push(value);
  }
  columns.of = found.epoch;
  if (selected.peek().includes(id)) redraw();
}

/** Long histories arrive thinned, without their last epoch perhaps. @param {string} id */
const lastKnown = (id) => epochs.get(id)?.of ?? 0;

/** Sums of columns that only grow. @type {WeakMap<number[], { count: number, sum: number }>} */
const sums = new WeakMap();

/** @param {number[]} column @returns {number} */
function sumOf(column) {
  const known = sums.get(column) ?? { count: 0, sum: 0 };
  while (known.count < column.length) known.sum += column[known.count++];
  sums.set(column, known);
  return known.sum;
}

/** @param {string} id @returns {number | undefined} how long the epochs of a job took together */
export function secondsOf(id) {
  const columns = epochs.get(id);
  if (!columns?.of) return undefined;
  // Of a long history only some epochs are known, and they stand for all.
  return (sumOf(columns.seconds) * columns.of) / columns.epoch.length;
}

/** @param {Epoch} first @returns {Columns} */
const emptyColumns = (first) =>
  /** @type {any} */ ({
    ...Object.fromEntries(Object.keys(first).map((name) => [name, []])),
    of: 0,
  });

/** @param {Job["metrics"]} metrics @param {Epoch} latest @returns {Job["metrics"]} */
function withEpoch(metrics, latest) {
  if (metrics.latest && metrics.latest.epoch >= latest.epoch) return metrics;
  const isBest = !metrics.best || latest.test_accuracy > metrics.best.test_accuracy;
  return { ...metrics, latest, best: isBest ? latest : metrics.best };
}

/** Jobs whose columns are being read. @type {Set<string>} */
const underway = new Set();

/** @param {string} id @returns {boolean} whether epochs of a job have finished that are not known */
const lacks = (id) => lastKnown(id) < (untracked(() => job(id))?.metrics.latest?.epoch ?? 0);

/** Read the missing columns of some jobs in one request. @param {string[]} wanted */
export async function fill(wanted = selected.peek()) {
  const missing = wanted.filter((id) => lacks(id) && !underway.has(id)).slice(0, MOST_JOBS);
  if (!missing.length) return;
  for (const id of missing) underway.add(id);
  try {
    const answer = await get(`/v1/epochs?jobs=${missing.join(",")}`);
    for (const [id, columns] of Object.entries(answer.data)) {
      if (lastKnown(id) < columns.of) epochs.set(id, columns);
    }
  } finally {
    for (const id of missing) underway.delete(id);
  }
  redraw();
}
