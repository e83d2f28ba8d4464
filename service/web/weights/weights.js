/**
 * What the network has learned: a picture of each unit's weights.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Weights as Layer } from "../records.js"
 * @import { Order } from "./units.js"
 */
import { computed, effect, signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { addressedSignal } from "../address.js";
import { html } from "../html.js";
import { onKey } from "../keyboard.js";
import { answers } from "../room/ask.js";
import * as state from "../state.js";
import { learned, PAGE, wantedNow, weightsOf } from "./layers.js";
import { density, drawMatrix, fit, palette } from "./tiles.js";
import {
  classesOfAsked,
  drawTiles,
  gridOf,
  NoWeights,
  ranked,
  Trouble,
  Unit,
  weightAt,
} from "./units.js";

/** The layer that is shown, counted from 1. */
const layer = signal(1);
/** The first unit that is shown, counted from 0. */
const offset = signal(0);
/** @type {Signal<Order>} */
const order = signal("number");
/** The unit under the pointer, counted from 0. @type {Signal<number | null>} */
export const hovered = signal(null);
/** The unit of the first layer that is held, for the dark room to mark. @type {Signal<number | null>} */
export const pinned = signal(null);
addressedSignal("unit", pinned, null, (text) => (/^\d{1,5}$/.test(text) ? Number(text) : null));

const hidden = computed(() => state.asked.value?.spec.hidden);
/** How many units each layer has, the output last. */
const sizes = computed(() => [...(hidden.value ?? []), classesOfAsked().length || 10]);
const isLinear = computed(() => sizes.value.length === 1);
const shownLayer = computed(() => Math.min(layer.value, sizes.value.length));
const wanted = computed(() =>
  state.tab.value === "weights" ? wantedNow(shownLayer.value, offset.value) : null,
);
const shown = weightsOf(wanted);
/** Whether the weights on the page belong to another network or epoch than the wanted ones. */
const isOld = computed(() => shown.value?.ref !== wanted.value?.ref);

/** Whether the leading job has weights; until then, the dark room asks another one. */
const isThere = computed(() => state.asked.value?.id === state.lead.value?.id);
const subject = computed(() => state.asked.value?.id);

/** What each unit of the first layer says of the drawing: its votes if it has any, else its output. */
const says = computed(() => {
  const { activations, votes } = answers.value[0]?.prediction ?? {};
  return activations?.length === 1 ? votes : activations?.[0];
});

effect(() => {
  subject.value; // another job begins with its first units, or with the one that is held
  const unit = pinned.value ?? 0;
  offset.value = unit < sizes.peek()[0] ? unit - (unit % PAGE) : 0;
});

// --- Drawing --------------------------------------------------------------------------------------

/** @param {HTMLCanvasElement} canvas @param {number} width in CSS pixels */
function draw(canvas, width) {
  const weights = shown.value;
  if (!weights || !width) return;
  const grid = gridOf(weights, { width, isLinear: isLinear.value });
  canvas.style.height = `${grid.height}px`;
  const context = fit(canvas, width, grid.height);
  const style = getComputedStyle(canvas);
  const [name, ink] = [palette.value, style.color];
  const marks = new Map([
    [hovered.value, ink],
    [pinned.value, style.outlineColor],
  ]);
  if (!weights.form) drawMatrix(context, weights, { width, height: grid.height, name });
  else
    drawTiles(context, weights, {
      grid,
      ink,
      name,
      marks,
      units: ranked(weights, order.value, says.value),
    });
  canvas.dataset.drawn = `${weights.ref} ${weights.layer} ${weights.offset} ${weights.learned}`;
}

/** @param {PointerEvent} event @returns {number | null} the unit under the pointer */
function unitAt(event) {
  const weights = shown.peek();
  const canvas = /** @type {HTMLCanvasElement} */ (event.target);
  if (!weights) return null;
  const place = { width: canvas.clientWidth, isLinear: isLinear.peek() };
  const { columns, across, down } = gridOf(weights, place);
  const column = Math.floor(event.offsetX / across);
  const unit = ranked(weights, order.peek(), says.peek())[
    column + columns * Math.floor(event.offsetY / down)
  ];
  return column >= columns || unit === undefined ? null : weights.offset + unit;
}

/** @param {PointerEvent} event */
function pin(event) {
  const unit = unitAt(event);
  if (shownLayer.peek() === 1) pinned.value = unit === pinned.peek() ? null : unit;
}

/** @param {Layer} weights */
function wordsFor(weights) {
  const what =
    weights.layer === 1 ? "What each unit of the first layer looks for" : "A row for each unit";
  return `${what}: red speaks against it, blue for it.`;
}

/** @param {{ weights: Layer }} props */
function Sheet({ weights }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const width = useSignal(0);
  useEffect(() => {
    const element = /** @type {HTMLCanvasElement} */ (canvas.current);
    const observer = new ResizeObserver(() => {
      width.value = element.clientWidth;
    });
    observer.observe(element);
    const stop = effect(() => {
      density.value;
      draw(element, width.value);
    });
    return () => {
      observer.disconnect();
      stop();
      hovered.value = null;
    };
  }, []);
  return html`<canvas ref=${canvas} class=${isOld.value ? "sheet old" : "sheet"} role="img" aria-label=${wordsFor(weights)}
    onPointerMove=${read}
    onPointerLeave=${() => (hovered.value = null)} onClick=${pin}></canvas>`;
}

// --- The tab --------------------------------------------------------------------------------------

const ORDERS = /** @type {const} */ ([
  ["number", "as numbered"],
  ["drawing", "by the drawing"],
  ["size", "by size"],
]);

function Tools() {
  const count = sizes.value[shownLayer.value - 1];
  const last = Math.min(count, offset.value + PAGE);
  return html`<div class="choices">
    <div class="switch" role="group" aria-label="Which weights">
      <button class="small" aria-pressed=${learned.value} onClick=${() => (learned.value = true)} title="Minus the random weights at the start (g)">learned</button>
      <button class="small" aria-pressed=${!learned.value} onClick=${() => (learned.value = false)} title="With the random weights at the start (g)">as they are</button>
    </div>
    ${sizes.value.length > 1 && html`<${Layers} />`}
    ${
      shownLayer.value === 1 &&
      !isLinear.value &&
      html`<select aria-label="Order of the units" title="Order of the units" value=${order.value} onChange=${(/** @type {any} */ event) => (order.value = event.target.value)}>
      ${ORDERS.map(([value, label]) => html`<option value=${value}>${label}</option>`)}
    </select>`
    }
    ${
      count > PAGE &&
      html`<div class="paging">
      <button class="small" aria-label="Earlier units" disabled=${offset.value === 0} onClick=${() => (offset.value -= PAGE)}>‹</button>
      <span>units ${offset.value} – ${last - 1} of ${count}</span>
      <button class="small" aria-label="Later units" disabled=${last === count} onClick=${() => (offset.value += PAGE)}>›</button>
    </div>`
    }
  </div>`;
}

function Layers() {
  const choose = (/** @type {number} */ number) => {
    layer.value = number;
    offset.value = 0;
  };
  return html`<div class="switch" role="group" aria-label="Layer">
    ${sizes.value.map((_, index) => html`<button class="small" aria-pressed=${shownLayer.value === index + 1} onClick=${() => choose(index + 1)}>${index + 1 === sizes.value.length ? "output" : `layer ${index + 1}`}</button>`)}
  </div>`;
}

/** The weight under the pointer in a matrix, in words. */
const reading = signal("");

/** @param {PointerEvent} event */
function read(event) {
  const weights = shown.peek();
  hovered.value = unitAt(event);
  if (!weights || weights.form || hovered.peek() === null) return;
  const canvas = /** @type {HTMLCanvasElement} */ (event.target);
  const input = Math.min(
    weights.inputs - 1,
    Math.floor((event.offsetX / canvas.clientWidth) * weights.inputs),
  );
  const unit = Number(hovered.peek());
  const weight = weightAt(weights, unit - weights.offset, input);
  reading.value = `Unit ${unit} gives unit ${input} of the layer before a weight of ${weight}.`;
}

/** @param {{ weights: Layer }} props */
function Caption({ weights }) {
  const most = (weights.cut * weights.scale).toPrecision(2);
  const scale = `The strongest colours stand for ±${most} and more; one weight in 200 is beyond that.`;
  const isStart = weights.learned && state.at.value === 0;
  const column = weights.layer === 1 ? "an input" : "a unit of the layer before";
  const rows = `A row is a unit, a column is ${column}. Red: speaks against it, blue: for it.`;
  const tiles = "Red: ink speaks against the unit, blue: for it.";
  return html`<p class="caption">${isStart ? "Nothing is learned yet." : `${weights.form ? tiles : rows} ${scale}`}</p>
    ${!weights.form && html`<p class="caption">${reading.value || "Point at a weight to read it."}</p>`}
    <${Trouble} />`;
}

export function Weights() {
  if (!isThere.value || !subject.value) return html`<${NoWeights} />`;
  const weights = shown.value;
  const isTiled = weights && weights.form !== null;
  return html`<section class="learned" aria-label="What it learned">
    <${Tools} />
    ${weights && html`<div class=${isTiled ? "" : "whole"}><${Sheet} weights=${weights} /><${Caption} weights=${weights} /></div>`}
    ${isTiled && html`<${Unit} weights=${weights} of=${sizes.value[0]} isLinear=${isLinear.value} hovered=${hovered.value} pinned=${pinned} />`}
  </section>`;
}

onKey("g", "learned weights, or as they are", () => {
  learned.value = !learned.value;
});
