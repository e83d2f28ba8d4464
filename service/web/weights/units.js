/**
 * Units of a layer: where each is drawn, and one of them enlarged, with what it does.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Weights as Layer } from "../records.js"
 * @import { Job } from "../records.js"
 * @import { Palette } from "./tiles.js"
 */
import { computed } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { classesOfJob } from "../datasets.js";
import { html } from "../html.js";
import * as state from "../state.js";
import { wantedNow, weightsOf } from "./layers.js";
import { density, drawTile, fit, NOT_A_NUMBER, palette } from "./tiles.js";

const GAP = 2;
const LABEL = 20;
const NARROW = 480;
const WIDEST = 168;
/** So many units get larger pictures. */
const FEW = 32;
const ROW = { least: 3, most: 24, all: 360 };
const SIDE = 168;
const MOST_LABELS = 12;

/** @typedef {"number" | "drawing" | "size"} Order */

// --- Order and place ------------------------------------------------------------------------------

/**
 * Return the units in the order in which they are shown.
 *
 * @param {Layer} weights
 * @param {Order} [order]
 * @param {ArrayLike<number>} [says] what each unit of the layer says for or against the answer
 * @returns {number[]} counted from the first one of `weights`
 */
export function ranked(weights, order = "number", says = undefined) {
  const units = Array.from({ length: weights.units }, (_, unit) => unit);
  if (order === "number" || (order === "drawing" && !says)) return units;
  const amounts = units.map((unit) =>
    order === "size" ? sizeOf(weights, unit) : Math.abs(says?.[weights.offset + unit] ?? 0),
  );
  return units.sort((one, other) => amounts[other] - amounts[one]);
}

/** @param {Layer} weights @param {number} unit @returns {number} the sum of its squared weights */
function sizeOf({ values, inputs }, unit) {
  let sum = 0;
  for (const value of values.subarray(unit * inputs, (unit + 1) * inputs)) sum += value * value;
  return sum;
}

/**
 * @typedef {object} Grid where each unit is drawn, in CSS pixels
 * @property {number} columns
 * @property {number} across from one column to the next
 * @property {number} down from one row to the next
 * @property {number} label height of the digits over their templates
 * @property {number} height of all
 */

/** @param {Layer} weights @param {{width: number, isLinear: boolean}} place @returns {Grid} */
export function gridOf(weights, { width, isLinear }) {
  if (!weights.form) {
    const down = Math.max(ROW.least, Math.min(ROW.most, ROW.all / weights.units));
    return { columns: 1, across: width, down, label: 0, height: down * weights.units };
  }
  const most = isLinear ? 5 : width < NARROW || weights.units <= FEW ? 8 : 16;
  const [columns, label] = [Math.min(most, weights.units), isLinear ? LABEL : 0];
  const across = Math.min(width / columns, WIDEST);
  const down = across + label;
  return { columns, across, down, label, height: down * Math.ceil(weights.units / columns) };
}

/** @returns {string[]} names of the classes of the network that is asked, if they are known */
export const classesOfAsked = () => (state.asked.value ? classesOfJob(state.asked.value) : []);

/**
 * Draw the templates of units.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Layer} weights of the first layer
 * @param {{grid: Grid, ink: string, name: Palette, units?: number[], marks?: Map<number | null, string>}} how
 *   `units` in their order, and colours of frames around some of them
 */
export function drawTiles(context, weights, { grid, ink, name, units = ranked(weights), marks }) {
  const { columns, across, down, label } = grid;
  const side = across - GAP;
  context.font = `600 13px ${getComputedStyle(document.body).fontFamily}`;
  const classes = classesOfAsked();
  for (const [rank, unit] of units.entries()) {
    const [x, y] = [(rank % columns) * across, Math.floor(rank / columns) * down + label];
    drawTile(context, weights, unit, { x, y, side, name });
    context.fillStyle = ink;
    const title = classes[weights.offset + unit] ?? String(weights.offset + unit);
    if (label) context.fillText(title, x + 2, y - 6, side - 4);
    const colour = marks?.get(weights.offset + unit);
    if (!colour) continue;
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(x + 1, y + 1, side - 2, side - 2);
  }
}

// --- One unit -------------------------------------------------------------------------------------

const hasNext = computed(
  () => state.tab.value === "weights" && !!state.asked.value?.spec.hidden.length,
);
/** The layer after the first one, as it is: what it does is not what it learned. */
const next = weightsOf(
  computed(() => {
    const wanted = hasNext.value ? wantedNow(2) : null;
    return wanted && { ...wanted, learned: false };
  }),
);

/** @param {Layer} weights @param {number} unit @param {number} input @returns {string} with its sign */
export function weightAt({ values, inputs, scale }, unit, input) {
  const value = values[unit * inputs + input];
  if (value === NOT_A_NUMBER) return "no finite number";
  return `${value < 0 ? "−" : "+"}${Math.abs(value * scale).toFixed(3)}`;
}

/**
 * @param {{ weights: Layer, of: number, isLinear: boolean, hovered: number | null, pinned: Signal<number | null> }} props
 */
export function Unit({ weights, of, isLinear, hovered, pinned }) {
  const unit = hovered ?? pinned.value ?? weights.offset;
  const hold = (/** @type {any} */ event) => {
    const { value, valueAsNumber } = event.target;
    if (value === "" || event.target.validity.valid)
      pinned.value = value === "" ? null : valueAsNumber;
  };
  return html`<div class="unit">
    <${Enlarged} weights=${weights} unit=${unit} />
    <div>
      <label>${isLinear ? "Class" : "Unit"} <input type="number" min="0" max=${of - 1} value=${unit} onInput=${hold} /></label>
      ${pinned.value !== null && html`<button class="small" onClick=${() => (pinned.value = null)}>Let go</button>`}
    </div>
    ${!isLinear && next.value && html`<${Outgoing} next=${next.value} unit=${unit} />`}
  </div>`;
}

/** @param {{ weights: Layer, unit: number }} props */
function Enlarged({ weights, unit }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [pixel, setPixel] = useState(/** @type {number | null} */ (null));
  const [name, dots] = [palette.value, density.value];
  const place = unit - weights.offset;
  const [height, width] = weights.form ?? [1, 1];
  const isHere = place >= 0 && place < weights.units;
  useEffect(() => {
    const context = fit(/** @type {HTMLCanvasElement} */ (canvas.current), SIDE, SIDE);
    if (isHere) drawTile(context, weights, place, { x: 0, y: 0, side: SIDE, name });
  }, [weights, place, name, dots]);
  const point = (/** @type {PointerEvent} */ { offsetX, offsetY }) => {
    const most = Math.max(height, width);
    const [x, y] = [
      [offsetX, width],
      [offsetY, height],
    ].map(([at, length]) => {
      const before = (most - length) / 2;
      return Math.max(0, Math.min(length - 1, Math.floor((at / SIDE) * most - before)));
    });
    setPixel(width * y + x);
  };
  const where = pixel !== null && `Row ${Math.floor(pixel / width)}, column ${pixel % width}: `;
  return html`<div>
    <canvas ref=${canvas} role="img" aria-label=${`Weights of unit ${unit}, enlarged`} onPointerMove=${point} onPointerLeave=${() => setPixel(null)}></canvas>
    <p class="caption">${isHere && pixel !== null ? `${where}${weightAt(weights, place, pixel)}` : "Point at a pixel to read it."}</p>
  </div>`;
}

/** @param {{ next: Layer, unit: number }} props */
function Outgoing({ next, unit }) {
  const { values, units, inputs, scale } = next;
  const weights = Array.from({ length: units }, (_, to) => values[to * inputs + unit] * scale);
  const most = 127 * scale;
  const classes = classesOfAsked();
  const isLast = state.asked.value?.spec.hidden.length === 1;
  const nameOf = (/** @type {number} */ to) => (isLast && classes[to]) || String(to);
  // So many names have no room; the pointer shows each of them.
  const isLabelled = isLast && units <= MOST_LABELS;
  return html`<figure class="outgoing">
    <ol class=${isLabelled ? "labelled" : ""}>${weights.map(
      (weight, to) => html`<li title=${`${nameOf(to)}: ${weight.toFixed(3)}`}>
      <i class=${weight < 0 ? "against" : "for"} style=${{ height: `${(50 * Math.abs(weight)) / most}%` }}></i>
      ${isLabelled && html`<b>${nameOf(to).slice(0, 2)}</b>`}
    </li>`,
    )}</ol>
    <figcaption class="caption">${isLast ? `Its votes for the ${units === 10 && classes[9] === "9" ? "digits" : "classes"}` : `Its weights to the ${units} units of layer 2`}</figcaption>
  </figure>`;
}

/** @param {Job} job */
const brokeIn = (job) =>
  job.reason?.code === "diverged" && `diverged in epoch ${job.progress.epochs_done + 1}`;

/** Why the weights are not the last ones, if so. */
export function Trouble() {
  const job = state.asked.value;
  const words = job && brokeIn(job);
  return words
    ? html`<p class="caption">It ${words}; these are its last weights before that.</p>`
    : null;
}

/** Why there is no picture. */
export function NoWeights() {
  const job = state.lead.value;
  if (!job) return null;
  if (brokeIn(job)) return html`<p class="hatched"><span>${brokeIn(job)}</span></p>`;
  const words = state.isFinal(job)
    ? "It ended before its first checkpoint, so it has no weights."
    : "No weights yet: the first checkpoint comes half a second after the start.";
  return html`<p class="hush">${words}</p>`;
}
