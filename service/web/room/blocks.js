/**
 * The units of a network as the dark room shows them: which ones, where, and their weights.
 *
 * @import { Weights } from "../records.js"
 * @import { Prediction } from "../records.js"
 */
import { signal } from "@preact/signals";
import { isFinal } from "../state.js";
import { firstLayer, PAGE, readWeights, wantedNow } from "../weights/layers.js";
import { networks } from "./ask.js";

const GAP = 8;
const LARGEST_TILE = 74;
const LAST_LAYER_SHARE = 0.3;

/**
 * @typedef {object} Block units of one layer on the canvas, in rows
 * @property {number} layer counted from 1
 * @property {number[]} units that are shown, by their numbers
 * @property {number} columns
 * @property {number} step from one unit to the next
 * @property {number} left
 * @property {number} top
 */

// --- Where each unit is -------------------------------------------------------------------------

/** @param {number} layer @param {number[]} units @param {{ width: number, height: number, top: number }} area @returns {Block} */
function blockOf(layer, units, { width, height, top }) {
  let [columns, step] = [1, 0];
  for (let count = 1; count <= units.length; count++) {
    const fits = Math.min(width / count, height / Math.ceil(units.length / count), LARGEST_TILE);
    if (fits > step) [columns, step] = [count, fits];
  }
  const rows = Math.ceil(units.length / columns);
  const left = (width - columns * step) / 2;
  return { layer, units, columns, step, left, top: top + height - rows * step };
}

/** @param {number} count @param {number[] | undefined} outputs @returns {number[]} units that fire most, in their order */
function strongest(count, outputs) {
  const units = Array.from({ length: count }, (_, unit) => unit);
  if (!outputs || count <= PAGE) return units.slice(0, PAGE);
  const size = (/** @type {number} */ unit) => Math.abs(outputs[unit]);
  units.sort((one, other) => size(other) - size(one));
  return units.slice(0, PAGE).sort((one, other) => one - other);
}

/** @param {number[]} hidden @param {number} outputs @param {Prediction | undefined} said @param {number} width @returns {Block[]} */
export function blocksOf(hidden, outputs, said, width) {
  const height = width / 2;
  const count = hidden.length;
  const first = strongest(hidden[0] ?? outputs, said?.activations?.[0]);
  if (count < 2) return [blockOf(1, first, { width, height, top: 0 })];
  const share = height * LAST_LAYER_SHARE;
  const last = strongest(hidden[count - 1], said?.activations?.[count - 1]);
  return [
    blockOf(1, first, { width, height: height - share - GAP, top: 0 }),
    blockOf(count, last, { width, height: share, top: height - share }),
  ];
}

/** @param {Block} block @param {number} place among its units */
export const cornerOf = ({ columns, step, left, top }, place) =>
  /** @type {const} */ ([
    left + (place % columns) * step,
    top + Math.floor(place / columns) * step,
  ]);

/** @param {Block[]} blocks @param {PointerEvent} event */
export function unitAt(blocks, { offsetX, offsetY }) {
  for (const { layer, units, columns, step, left, top } of blocks) {
    const [column, row] = [Math.floor((offsetX - left) / step), Math.floor((offsetY - top) / step)];
    const unit = units[row * columns + column];
    if (column >= 0 && column < columns && row >= 0 && unit !== undefined) return { layer, unit };
  }
  return null;
}

// --- Weights of many units ----------------------------------------------------------------------

/** Units after the first ones, of the network that is asked. @type {Map<number, Weights>} */
const pages = new Map();
export const arrived = signal(0);
let isReading = false;

/** @param {number} unit @returns {Weights | undefined} the weights that it is among */
export function pageOf(unit) {
  const first = firstLayer.peek();
  if (unit < PAGE || !first) return first ?? undefined;
  const page = pages.get(Math.floor(unit / PAGE));
  return page?.ref === first.ref ? page : undefined;
}

/** Read the units that are missing, one page after the other. @param {number[]} units */
export async function readPages(units) {
  const isTraining = !networks.peek().every(({ job }) => isFinal(job));
  const key = wantedNow(1)?.key;
  const wanted = [...new Set(units.map((unit) => Math.floor(unit / PAGE)))].find((number) => {
    const page = pageOf(number * PAGE);
    // While it trains, weights that are a little old do.
    return number > 0 && (!page || (page.key !== key && !isTraining));
  });
  const request = wanted && wantedNow(1, wanted * PAGE);
  if (!request || isReading) return;
  isReading = true;
  const found = await readWeights(request).catch(() => null);
  isReading = false;
  if (!found) return; // the next answer tries again
  pages.set(wanted, found);
  arrived.value++;
}
