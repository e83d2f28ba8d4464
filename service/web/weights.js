/**
 * What the network has learned: a picture of each unit's weights.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Weights as Layer } from "./layers.js"
 * @import { Order } from "./units.js"
 */
import { computed, effect, signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { addressedSignal } from "./address.js";
import { html, useStyles } from "./html.js";
import { onKey } from "./keyboard.js";
import { learned, PAGE, wantedNow, weightsOf } from "./layers.js";
import * as state from "./state.js";
import { density, drawMatrix, fit, palette, sideOf } from "./tiles.js";
import { drawTiles, gridOf, NoWeights, ranked, Unit } from "./units.js";

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
addressedSignal("unit", pinned, null, Number);

/** How many units each layer has, the output last. */
const sizes = computed(() => [...(state.asked.value?.spec.hidden ?? []), 10]);
const isLinear = computed(() => sizes.value.length === 1);
const shownLayer = computed(() => Math.min(layer.value, sizes.value.length));
const wanted = computed(() =>
  state.tab.value === "weights" ? wantedNow(shownLayer.value, offset.value) : null,
);
const shown = weightsOf(wanted);
/** Whether the weights on the page belong to another network or epoch than the wanted ones. */
const isOld = computed(() => shown.value?.ref !== wanted.value?.ref);

effect(() => {
  state.asked.value?.id; // another job begins with its first units
  offset.value = 0;
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
  if (!sideOf(weights)) drawMatrix(context, weights, { width, height: grid.height, name });
  else drawTiles(context, weights, { grid, ink, name, marks, units: ranked(weights, order.value) });
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
  const unit = ranked(weights, order.peek())[column + columns * Math.floor(event.offsetY / down)];
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
    onPointerMove=${(/** @type {PointerEvent} */ event) => (hovered.value = unitAt(event))}
    onPointerLeave=${() => (hovered.value = null)} onClick=${pin}></canvas>`;
}

// --- The tab --------------------------------------------------------------------------------------

const ORDERS = /** @type {const} */ ([
  ["number", "as they are numbered"],
  ["size", "by the size of their weights"],
]);

function Tools() {
  const count = sizes.value[shownLayer.value - 1];
  const last = Math.min(count, offset.value + PAGE);
  return html`<div class="tools">
    <div class="switch" role="group" aria-label="Which weights">
      <button class="small" aria-pressed=${learned.value} onClick=${() => (learned.value = true)} title="Minus the random weights at the start (g)">learned</button>
      <button class="small" aria-pressed=${!learned.value} onClick=${() => (learned.value = false)} title="With the random weights at the start (g)">as they are</button>
    </div>
    ${sizes.value.length > 1 && html`<${Layers} />`}
    ${
      shownLayer.value === 1 &&
      !isLinear.value &&
      html`<select aria-label="Order of the units" value=${order.value} onChange=${(/** @type {any} */ event) => (order.value = event.target.value)}>
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

/** @param {{ weights: Layer }} props */
function Caption({ weights }) {
  const most = (weights.cut * weights.scale).toPrecision(2);
  const isStart = weights.learned && state.at.value === 0;
  return html`<p class="caption">${isStart && "Nothing is learned yet. "}Red: ink speaks against the unit, blue: for it. The
    strongest colours stand for ±${most} and more; one weight in 200 is beyond that.</p>`;
}

export function Weights() {
  useStyles("learned.css");
  const job = state.lead.value;
  if (!job) return null;
  if (state.asked.value?.id !== job.id) return html`<${NoWeights} job=${job} />`;
  const weights = shown.value;
  return html`<section class="learned" aria-label="What it learned">
    <${Tools} />
    ${
      weights &&
      html`<div><${Sheet} weights=${weights} /><${Caption} weights=${weights} /></div>
      <${Unit} weights=${weights} hovered=${hovered.value} pinned=${pinned} />`
    }
  </section>`;
}

onKey("g", "learned weights, or as they are", () => {
  learned.value = !learned.value;
});
