/**
 * Two charts of the chosen jobs: loss, and accuracy or error.
 *
 * They follow the newest epoch until the user zooms, and never draw for more than a fifth of the time.
 *
 * @import { Line, Quantity } from "./plot.js"
 */

import { effect, untracked } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { drawn } from "../epochs.js";
import { html } from "../html.js";
import { announce } from "../notices.js";
import * as state from "../state.js";
import { showEpoch } from "../weights/film.js";
import { density, palette } from "../weights/tiles.js";
import { percent } from "../words.js";
import { optionsOf } from "./axes.js";
import { isLogarithmic, showAll, showsError, toggle, zoom } from "./charts.js";
import { setAlphas } from "./marks.js";
import { dataOf, linesOf, MANY, nameOf, widthOf } from "./plot.js";
import { Tail } from "./tail.js";

/** Drawing gets at most one part in 1 + REST of the time. */
const REST = 4;
const HEIGHT = 232;
const PHONE_HEIGHT = 190;

// --- Words --------------------------------------------------------------------------------------

/** @param {Quantity} quantity */
const labelOf = (quantity) =>
  quantity === "loss" ? "Loss (nats)" : showsError.value ? "Error (%)" : "Accuracy (%)";

/** @param {uPlot} chart @param {Line[]} lines @returns {string} the values under the cursor */
function valuesAt(chart, lines) {
  const index = chart.cursor.idx;
  const epoch = index == null ? null : chart.data[0][index];
  if (index == null || epoch == null) return "";
  const isMany = new Set(lines.map((line) => line.job)).size > 1;
  const wanted = isMany ? lines.filter(({ job }) => job.id === state.hovered.peek()) : lines;
  const values = wanted.map((line) => {
    const value = chart.data[lines.indexOf(line) + 1][index];
    return value == null ? "" : `${line.part} ${Number(value.toPrecision(4))}`;
  });
  // The name comes last: it is what is cut off where there is no room.
  const name = isMany && wanted.length ? ` · ${nameOf(wanted[0])}` : "";
  return `epoch ${Math.floor(epoch)}  ${values.filter(Boolean).join("  ")}${name}`;
}

/** @param {Quantity} quantity @param {Line[]} lines @returns {string} the chart for who can't see it */
function described(quantity, lines) {
  const parts = lines.slice(0, 12).map((line) => {
    const value = line.values.at(-1) ?? 0;
    const shown = quantity === "loss" ? value.toPrecision(3) : percent(value);
    return `${nameOf(line)}: ${line.part} ${shown} at epoch ${line.epoch.at(-1)}`;
  });
  return `${labelOf(quantity)} by epoch. ${parts.join("; ")}. Arrow keys read it epoch by epoch.`;
}

// --- One chart ----------------------------------------------------------------------------------

/** @param {HTMLElement} box */
const sizeOf = (box) => ({
  width: box.clientWidth,
  height: innerWidth <= 720 ? PHONE_HEIGHT : HEIGHT,
});

/**
 * Draw a chart now and whenever something changes.
 *
 * @param {HTMLElement} box
 * @param {Quantity} quantity
 * @param {(words: string) => void} tell what is under the cursor
 */
function startChart(box, quantity, tell) {
  let chart = /** @type {uPlot | null} */ (null);
  let lines = /** @type {Line[]} */ ([]);
  let tail = new Tail([[]]);
  let key = "";
  let cost = 0;
  let drawnAt = 0;
  let due = 0;
  let size = sizeOf(box);

  /** @param {boolean} isNews whether nothing but the epochs has changed */
  function draw(isNews) {
    const began = performance.now();
    if (!size.width) return;
    lines = linesOf(quantity);
    const data = dataOf(lines, quantity, size.width);
    const look = [isLogarithmic, showsError, palette, density].map((each) => each.peek());
    const tints = [...state.tints.peek()];
    const next = JSON.stringify([
      look,
      tints,
      lines.map((line) => [line.job.id, line.part, widthOf(line), line.job.state === "failed"]),
    ]);
    if (chart && next === key) {
      const isFaded = setAlphas(chart, lines);
      // Where dashes and areas begin can be seen to their end; and such charts have few lines.
      const isCrowd = lines.length > MANY && lines.every(({ part }) => part === "test");
      tail.draw(chart, data, size, isNews && isCrowd && !isFaded);
    } else {
      chart?.destroy();
      tail = new Tail(data);
      const onRead = (/** @type {uPlot} */ read) => tell(valuesAt(read, lines));
      chart = new uPlot({ ...size, ...optionsOf(quantity, lines, onRead, tail) }, data, box);
      setAlphas(chart, lines);
      key = next;
    }
    box.setAttribute("aria-label", described(quantity, lines));
    drawnAt = performance.now();
    cost = drawnAt - began;
  }

  /** What the user does is drawn at once; news waits until drawing has rested. */
  function drawLater() {
    const wait = drawnAt + REST * cost - performance.now();
    if (wait <= 1) draw(true);
    else {
      due ||= setTimeout(() => {
        due = 0;
        draw(true);
      }, wait);
    }
  }

  const stops = [
    effect(() => {
      for (const each of [state.tints, isLogarithmic, showsError, zoom, state.at, palette, density])
        each.value;
      untracked(() => draw(false));
    }),
    effect(() => {
      drawn.value;
      untracked(drawLater);
    }),
    effect(() => {
      state.hovered.value;
      untracked(() => chart && setAlphas(chart, lines) && tail.redraw(chart));
    }),
  ];
  // Measured when it changes: to ask in every redraw makes the browser compute the layout for it.
  const observer = new ResizeObserver(() => {
    size = sizeOf(box);
    requestAnimationFrame(() => draw(false));
  });
  observer.observe(box);
  box.onkeydown = (event) =>
    chart &&
    onChartKey(event, chart, () => announce(valuesAt(/** @type {uPlot} */ (chart), lines)));
  return () => {
    for (const stop of stops) stop();
    clearTimeout(due);
    observer.disconnect();
    chart?.destroy();
  };
}

/** @param {KeyboardEvent} event @param {uPlot} chart @param {() => void} say */
function onChartKey(event, chart, say) {
  const epochs = chart.data[0];
  const now = chart.cursor.idx ?? epochs.length;
  const { min = 1, max = 2 } = chart.scales.x;
  const middle = epochs[now] ?? (min + max) / 2;
  /** @param {number} index */
  const moveTo = (index) => {
    const kept = Math.max(0, Math.min(epochs.length - 1, index));
    chart.setCursor({ left: chart.valToPos(epochs[kept], "x"), top: chart.over.clientHeight / 2 });
    say();
  };
  /** @param {number} factor */
  const zoomBy = (factor) => {
    const half = Math.max(1, ((max - min) * factor) / 2);
    const from = Math.max(1, Math.floor(middle - half));
    const to = Math.ceil(middle + half);
    const isAll = from === 1 && to >= (epochs.at(-1) ?? 1);
    zoom.value = isAll && factor > 1 ? null : [from, to];
  };
  /** @type {Record<string, () => void>} */
  const acts = {
    ArrowLeft: () => moveTo(now - 1),
    ArrowRight: () => moveTo(now + 1),
    "+": () => zoomBy(0.5),
    "-": () => zoomBy(2),
    Enter: () => showEpoch(Math.round(middle)),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** @param {{ quantity: Quantity }} props */
function Chart({ quantity }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const reading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const tell = (/** @type {string} */ words) => {
      if (reading.current) reading.current.textContent = words;
    };
    return startChart(/** @type {HTMLElement} */ (box.current), quantity, tell);
  }, [quantity]);
  const [flag, label, hint] =
    quantity === "loss"
      ? [isLogarithmic, "log", "Logarithmic axis (l)"]
      : [showsError, "error", "100 % minus accuracy, which tells small differences apart (e)"];
  return html`<section class="card chart">
    <header>
      <h3>${labelOf(quantity)}</h3>
      <button class="small ghost" aria-pressed=${flag.value} onClick=${toggle(flag)} title=${hint}>${label}</button>
      ${zoom.value && html`<button class="small ghost" onClick=${showAll} title="Show all epochs (f)">follow</button>`}
      <span class="reading" ref=${reading}></span>
    </header>
    <div class="plot" tabindex="0" role="group" ref=${box}></div>
  </section>`;
}

export function Curves() {
  return html`<${Chart} quantity="loss" /><${Chart} quantity="accuracy" />`;
}
