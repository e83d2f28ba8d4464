/**
 * The curves of the chosen jobs as uPlot draws them: which lines, thinned to what can be seen.
 *
 * @import { Columns, Job } from "../records.js"
 */

import { epochs } from "../epochs.js";
import * as state from "../state.js";
import { title } from "../words.js";
import { isLogarithmic, showsError, zoom } from "./charts.js";
import { thinned } from "./thinning.js";

/** @typedef {"loss" | "accuracy"} Quantity */
/** @typedef {"test" | "train" | "mean" | "low" | "high"} Part */
/**
 * @typedef {object} Line
 * @property {Job} job whose line it is; of a mean, the first of its jobs
 * @property {Part} part
 * @property {number[]} epoch
 * @property {number[]} values
 * @property {boolean} faint whether something else tells more
 */

/** More jobs than this have no room for the training curves. */
export const MANY = 8;
/** Jobs that differ in their seed alone have a mean from this number on. */
const LEAST_FOR_MEAN = 3;
/** Wide lines take seven times as long as those of one pixel. */
const MOST_WIDE = 6;
const LEAST_POINTS = 60;

// --- Which lines --------------------------------------------------------------------------------

/** Specs never change, so each is read once. @type {WeakMap<Job["spec"], string>} */
const recipes = new WeakMap();

/** What must be equal for two jobs to be the same but for chance. @param {Job} job @returns {string} */
function recipe({ spec }) {
  const known = recipes.get(spec);
  if (known) return known;
  const {
    seed: _seed,
    name: _name,
    tags: _tags,
    metadata: _metadata,
    preset: _preset,
    ...rest
  } = spec;
  const found = JSON.stringify(rest);
  recipes.set(spec, found);
  return found;
}

/** @param {Job[]} jobs @returns {Job[][]} those that differ in their seed alone */
export function seedGroups(jobs) {
  /** @type {Map<string, Job[]>} */
  const groups = new Map();
  for (const job of jobs) {
    const key = recipe(job);
    groups.set(key, [...(groups.get(key) ?? []), job]);
  }
  return [...groups.values()].filter((group) => group.length >= LEAST_FOR_MEAN);
}

/** @param {Quantity} quantity @returns {Line[]} the lines of the chosen jobs */
export function linesOf(quantity) {
  const jobs = state.chosen.peek().filter((job) => epochs.get(job.id)?.epoch.length);
  const groups = seedGroups(jobs);
  const grouped = new Set(groups.flat());
  const isCrowd = jobs.length > MANY;
  const best = bestOf(jobs);
  const lines = jobs.flatMap((job) => {
    const columns = /** @type {Columns} */ (epochs.get(job.id));
    const parts = isCrowd || grouped.has(job) ? [TEST] : [TEST, TRAIN];
    const faint = grouped.has(job) || (isCrowd && job !== best);
    const { epoch } = columns;
    return parts.map((part) => ({
      job,
      part,
      epoch,
      values: columns[`${part}_${quantity}`],
      faint,
    }));
  });
  return [...lines, ...groups.flatMap((group) => meanLines(group, quantity))];
}
const TEST = /** @type {const} */ ("test");
const TRAIN = /** @type {const} */ ("train");

/** @param {Job[]} jobs @returns {Job | undefined} the most accurate one */
export function bestOf(jobs) {
  const accuracy = (/** @type {Job} */ job) => job.metrics.best?.test_accuracy ?? 0;
  return jobs.reduce((best, job) => (accuracy(job) > accuracy(best) ? job : best), jobs[0]);
}

/**
 * Return the lowest, mean and highest test values at each epoch that all jobs of a group have.
 *
 * @param {Job[]} group
 * @param {Quantity} quantity
 * @returns {Line[]}
 */
function meanLines(group, quantity) {
  const found = group.map((job) => /** @type {Columns} */ (epochs.get(job.id)));
  // Of long histories each job has other epochs, whose mean would be none.
  if (found.some((columns) => columns.epoch.length < columns.of)) return [];
  const shortest = found.reduce((a, b) => (a.epoch.length < b.epoch.length ? a : b));
  const { epoch } = shortest;
  const [job] = group;
  const at = (/** @type {number} */ index) => found.map((each) => each[`test_${quantity}`][index]);
  const rows = epoch.map((_, index) => at(index));
  const mean = (/** @type {number[]} */ row) =>
    row.reduce((sum, value) => sum + value, 0) / row.length;
  const line = (/** @type {Part} */ part, /** @type {(row: number[]) => number} */ of) => ({
    job,
    part,
    epoch,
    values: rows.map(of),
    faint: false,
  });
  return [
    line("low", (row) => Math.min(...row)),
    line("high", (row) => Math.max(...row)),
    line("mean", mean),
  ];
}

/** @param {Line} line @returns {number} its width in CSS pixels */
export function widthOf({ part, faint }) {
  if (part === "low" || part === "high") return 0;
  if (part === "mean") return 2;
  const isHair = faint || part === "train" || state.selected.peek().length > MOST_WIDE;
  return isHair ? 1 / devicePixelRatio : 2;
}

/** @param {Line} line */
export const nameOf = ({ job, part }) => (part === "mean" ? `mean of ${title(job)}` : title(job));

// --- Which points -------------------------------------------------------------------------------

/** Lines in a unit of the axis. @param {Quantity} quantity @returns {(value: number) => number | null} */
function unitOf(quantity) {
  const isOnLog = isLog(quantity);
  return (value) => {
    const shown = quantity === "loss" ? value : 100 * (showsError.peek() ? 1 - value : value);
    return isOnLog && shown <= 0 ? null : shown; // no logarithm
  };
}

/** @param {Quantity} quantity @returns {boolean} whether its axis is logarithmic */
export const isLog = (quantity) =>
  isLogarithmic.peek() && (quantity === "loss" || showsError.peek());

/**
 * Return what uPlot draws: epochs, and the values of each line at them.
 *
 * @param {Line[]} lines
 * @param {Quantity} quantity
 * @param {number} width of the chart in CSS pixels
 * @returns {uPlot.AlignedData}
 */
export function dataOf(lines, quantity, width) {
  const last = Math.max(1, ...lines.map((line) => line.epoch.at(-1) ?? 1));
  const [first, end] = zoom.peek() ?? [1, last];
  const span = Math.max(1, Math.min(end, last) - first + 1);
  // Powers of two, so that a growing job keeps the points that it has.
  let each = 1;
  while (span / each > Math.max(LEAST_POINTS, width / 2)) each *= 2;
  const count = Math.ceil(span / each);
  const starts = Array.from({ length: count }, (_, bucket) => first + bucket * each);
  const x = each === 1 ? starts : starts.flatMap((start) => [start, start + each / 2]);
  const buckets = { first, each, count };
  const unit = { name: `${isLog(quantity)} ${showsError.peek()}`, of: unitOf(quantity) };
  return [x, ...lines.map(({ epoch, values }) => thinned(epoch, values, buckets, unit))];
}
