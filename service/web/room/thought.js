/**
 * How the network comes to its answer: units that fire, and what they vote.
 *
 * @import { Block } from "./blocks.js"
 * @import { Prediction } from "../records.js"
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { firstLayer } from "../weights/layers.js";
import { density, drawTile, fit } from "../weights/tiles.js";
import { pinned } from "../weights/weights.js";
import { answers, isOld, networks } from "./ask.js";
import { arrived, blocksOf, cornerOf, pageOf, readPages, unitAt } from "./blocks.js";
import { countOf, named, shownClasses } from "./classes.js";

const THREADS = 22;
const THREADS_HEIGHT = 54;
const SPOKEN = 6;
const ENLARGED = 112;
const GAP = 2;
const FIRES = 0.3;
const DIM = 0.3;
const AMBER = "255 210 122";
const BLUE = "92 170 255";
const RED = "255 96 78";

/** The unit under the pointer. @type {import("@preact/signals").Signal<{ layer: number, unit: number, isRight: boolean } | null>} */
const hovered = signal(null);

// --- Painting -----------------------------------------------------------------------------------

/** @param {CanvasRenderingContext2D} context @param {Block} block @param {number[] | undefined} outputs */
function paintUnits(context, block, outputs) {
  const most = Math.max(1e-9, ...block.units.map((unit) => Math.abs(outputs?.[unit] ?? 0)));
  const side = block.step - (block.step > 12 ? GAP : 1);
  block.units.forEach((unit, place) => {
    const [x, y] = cornerOf(block, place);
    const light = Math.abs(outputs?.[unit] ?? 0) / most;
    const page = block.layer === 1 ? pageOf(unit) : undefined;
    if (page?.form) {
      context.globalAlpha = outputs ? DIM + (1 - DIM) * light : 2 * DIM;
      drawTile(context, page, unit - page.offset, { x, y, side, name: "night" });
      context.globalAlpha = 1;
    } else {
      context.fillStyle = `rgb(${AMBER} / ${0.08 + 0.92 * light})`;
      context.fillRect(x, y, side, side);
    }
    if (light > FIRES)
      frame(context, x, y, side, `rgb(${AMBER} / ${1.2 * (light - FIRES) + 0.15})`);
    if (isMarked(block.layer, unit)) frame(context, x, y, side, "#fff");
  });
}

/** @param {number} layer @param {number} unit @returns {boolean} whether it is pointed at, or held beside the curves */
function isMarked(layer, unit) {
  const over = hovered.value;
  return (over?.unit === unit && over.layer === layer) || (layer === 1 && pinned.value === unit);
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} side @param {string} colour */
function frame(context, x, y, side, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
}

/** @param {number} label @param {number} width @returns {number | null} where its bar is; null if it has none */
function endOf(label, width) {
  const shown = shownClasses.value;
  const place = shown.indexOf(label);
  return place < 0 ? null : (place + 0.5) * (width / shown.length);
}

/** @param {number[]} votes @param {number} count @returns {[unit: number, vote: number][]} the strongest ones */
const strongestVotes = (votes, count) =>
  [...votes.entries()]
    .sort(([, one], [, other]) => Math.abs(other) - Math.abs(one))
    .slice(0, count);

/** @param {CanvasRenderingContext2D} context @param {Block} block @param {Prediction} said @param {number} width */
function paintThreads(context, block, said, width) {
  const { for: label, against } = said.contributions;
  const end = width / 2 + THREADS_HEIGHT;
  const found = said.votes ? strongestVotes(said.votes, THREADS) : [];
  const most = Math.abs(found[0]?.[1] ?? 0) || 1;
  for (const [unit, vote] of found.reverse()) {
    const place = block.units.indexOf(unit);
    if (place < 0 || !vote) continue;
    const [x, y] = cornerOf(block, place);
    const strength = Math.abs(vote) / most;
    const to = endOf(vote > 0 ? label : against, width);
    if (to === null) continue;
    context.strokeStyle = `rgb(${vote > 0 ? BLUE : RED} / ${0.12 + 0.8 * strength})`;
    context.lineWidth = 0.75 + 2.25 * strength;
    const [from, start] = [x + block.step / 2, y + block.step - GAP];
    context.beginPath();
    context.moveTo(from, start);
    context.bezierCurveTo(from, start + 40, to, end - 40, to, end);
    context.stroke();
  }
}

/** Each template of a linear network speaks for its own class. @param {CanvasRenderingContext2D} context @param {Block} block @param {Prediction} said @param {number} width */
function paintOwnThreads(context, block, said, width) {
  const end = width / 2 + THREADS_HEIGHT;
  for (const [place, unit] of block.units.entries()) {
    const [x, y] = cornerOf(block, place);
    const [from, start, to] = [x + block.step / 2, y + block.step, endOf(unit, width)];
    if (to === null) continue;
    const probability = said.probabilities[unit];
    context.strokeStyle = `rgb(${AMBER} / ${0.1 + 0.8 * probability})`;
    context.lineWidth = 0.75 + 2.25 * probability;
    context.beginPath();
    context.moveTo(from, start);
    context.bezierCurveTo(from, start + 24, to, end - 24, to, end);
    context.stroke();
  }
}

// Each is drawn when it changes, which most news of the job does not do.
const subject = computed(() => networks.value[0]?.job.id);
const hidden = computed(() => networks.value[0]?.job.spec.hidden);
const outputs = computed(() => (networks.value[0] ? countOf(networks.value[0].job) : 0));

/** @param {HTMLCanvasElement} canvas @returns {Block[]} */
function draw(canvas) {
  const width = canvas.clientWidth;
  const layers = hidden.value;
  arrived.value;
  density.value;
  firstLayer.value;
  const [answer] = answers.value;
  if (!width) return []; // the room is not on the screen
  const context = fit(canvas, width, width / 2 + THREADS_HEIGHT);
  if (!layers || !pageOf(0)) return [];
  const said = answer?.job === subject.value ? answer.prediction : undefined;
  const blocks = blocksOf(layers, outputs.value, said, width);
  const isLinear = layers.length === 0;
  for (const block of blocks) {
    paintUnits(
      context,
      block,
      isLinear ? said?.probabilities : said?.activations?.[block.layer - 1],
    );
  }
  if (said && isLinear) paintOwnThreads(context, blocks[0], said, width);
  else if (said) paintThreads(context, blocks[blocks.length - 1], said, width);
  untracked(() => readPages(blocks[0].units));
  return blocks;
}

// --- On the page --------------------------------------------------------------------------------

const number = (/** @type {number} */ value) => value.toFixed(2).replace("-", "−");

/** @param {Prediction} said @param {{ layer: number, unit: number }} over @param {number} last layer @returns {string[]} lines about one unit */
function arithmetic(said, { layer, unit }, last) {
  const [label, against] = [said.contributions.for, said.contributions.against].map(named);
  const output = said.activations?.[layer - 1]?.[unit];
  if (output === undefined) {
    return last ? [] : [`its probability: ${(100 * said.probabilities[unit]).toFixed(1)} %`];
  }
  if (!output) return ["silent: adds nothing"];
  const vote = layer === last ? said.votes?.[unit] : undefined;
  if (vote === undefined) return [`puts out ${number(output)}`];
  const weight = `weight to ${label} less that to ${against}`;
  return [
    `${number(output)} × ${number(vote / output)} = ${number(vote)}`,
    `output × (${weight})`,
    vote > 0 ? `speaks for ${label}` : `speaks for ${against}`,
  ];
}

/** One unit, enlarged, with what it does here. */
function Enlarged() {
  const ref = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const over = hovered.value;
  const page = over?.layer === 1 ? pageOf(over.unit) : undefined;
  useEffect(() => {
    if (!over || !page || !ref.current) return;
    const context = fit(ref.current, ENLARGED, ENLARGED);
    drawTile(context, page, over.unit - page.offset, { x: 0, y: 0, side: ENLARGED, name: "night" });
  });
  const network = networks.value[0];
  if (!over || !network) return null;
  const last = network.job.spec.hidden.length;
  const said = answers.value[0]?.prediction;
  const lines = said ? arithmetic(said, over, last) : [];
  const name = last
    ? `unit ${over.unit}${last > 1 ? ` of layer ${over.layer}` : ""}`
    : named(over.unit);
  return html`<div class=${over.isRight ? "enlarged" : "enlarged right"}>
    ${page && html`<canvas ref=${ref}></canvas>`}
    <p><b>${name}</b>${lines.map((line) => html`<br />${line}`)}</p>
  </div>`;
}

/** @param {Prediction | undefined} said @returns {string} the picture in words */
function inWords(said) {
  if (!said?.votes) return "The units of the network";
  const found = strongestVotes(said.votes, SPOKEN).map(
    ([unit, vote]) => `unit ${unit} ${number(vote)}`,
  );
  const [label, against] = [said.contributions.for, said.contributions.against].map(named);
  return `The strongest votes for ${label} against ${against}: ${found.join(", ")}`;
}

export function Thought() {
  const ref = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const blocks = useRef(/** @type {Block[]} */ ([]));
  useEffect(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (ref.current);
    const paint = () => {
      blocks.current = draw(canvas);
    };
    const observer = new ResizeObserver(() => untracked(paint));
    observer.observe(canvas);
    const stop = effect(paint);
    return () => {
      observer.disconnect();
      stop();
    };
  }, []);
  /** @param {PointerEvent} event */
  const look = (event) => {
    const found = unitAt(blocks.current, event);
    const before = hovered.peek();
    if (found?.unit === before?.unit && found?.layer === before?.layer) return;
    const { clientWidth } = /** @type {HTMLElement} */ (event.target);
    hovered.value = found && { ...found, isRight: event.offsetX > clientWidth / 2 };
  };
  /** A finger has no hover: what it has touched stays. @param {PointerEvent} event */
  const leave = (event) => {
    if (event.pointerType !== "touch") hovered.value = null;
  };
  return html`<canvas class=${isOld.value ? "thought old" : "thought"} ref=${ref} role="img"
      aria-label=${inWords(answers.value[0]?.prediction)}
      onPointerMove=${look} onPointerDown=${look} onPointerLeave=${leave}></canvas>
    <${Enlarged} />`;
}
