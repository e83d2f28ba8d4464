/**
 * How the charts look and answer: axes, colours, markers, the mark of the shown epoch, and the mouse.
 *
 * @import { Line, Quantity } from "./plot.js"
 * @import { Tail } from "./tail.js"
 */

import * as state from "../state.js";
import { showEpoch } from "../weights/film.js";
import { showsError, zoom } from "./charts.js";
import { drawMarkers, drawShownEpoch, paint } from "./marks.js";
import { isLog, MANY, widthOf } from "./plot.js";

/** How near the pointer must come to a curve, in CSS pixels. */
const NEAR = 24;
/** A shorter way of the pressed pointer is a click. */
const SHORTEST_DRAG = 4;
const TICKS = [
  [1],
  [1, 3],
  [1, 2, 5],
  [1, 1.5, 2, 3, 5, 7],
  [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9],
  evenly(0.2),
  evenly(0.05),
];
const LEAST_TICKS = 4;
/** Steps in which the ends of a logarithmic axis move: factors of 1.1. */
const LOG_STEP = Math.log(1.1);
/** Room between the values and the ends of their axis, in steps. */
const LEAST_ROOM = 1;

/** @param {number} step @returns {number[]} from 1 to below 10 */
function evenly(step) {
  return Array.from({ length: Math.round(9 / step) }, (_, index) => 1 + index * step);
}

/** @param {number} min @param {number} max @returns {number[]} ticks of a logarithmic axis */
export function logTicks(min, max) {
  const decades = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power++)
    decades.push(power);
  for (const steps of TICKS) {
    const all = decades.flatMap((power) =>
      steps.map((step) => Number((step * 10 ** power).toPrecision(3))),
    );
    const ticks = all.filter((tick) => tick >= min && tick <= max);
    if (ticks.length >= LEAST_TICKS) return ticks;
  }
  return [min, max].map((tick) => Number(tick.toPrecision(3)));
}

/**
 * Return the range of the values' axis, with some room around them.
 *
 * Its ends move in steps: as long as they stay, a new epoch leaves the curves as they are drawn.
 *
 * @param {Quantity} quantity
 * @returns {uPlot.Scale.Range}
 */
function rangeOf(quantity) {
  if (isLog(quantity)) {
    return (_, min, max) => {
      if (!(min > 0)) return [0.01, 1];
      const steps = (/** @type {number} */ value) => Math.log(value) / LOG_STEP;
      const low = Math.floor(steps(min) - LEAST_ROOM);
      const high = Math.ceil(steps(max) + LEAST_ROOM);
      return [Math.exp(low * LOG_STEP), Math.exp(high * LOG_STEP)];
    };
  }
  const most = quantity === "accuracy" ? 100 : Number.POSITIVE_INFINITY;
  return (_, min, max) => {
    if (min == null) return [0, 1];
    // A power of two, which stays while the values spread a little.
    const step = 2 ** Math.floor(Math.log2((max - min || 1) / 24));
    return [
      Math.max(0, step * Math.floor(min / step - LEAST_ROOM)),
      Math.min(most, step * Math.ceil(max / step + LEAST_ROOM)),
    ];
  };
}

/** @param {Quantity} quantity @param {boolean} isEmpty @returns {Partial<uPlot.Options>} */
function axesOf(quantity, isEmpty) {
  const { fontFamily } = getComputedStyle(document.documentElement);
  const line = { stroke: paint("var(--line)"), width: 1 };
  const axis = {
    stroke: paint("var(--soft)"),
    font: `12px ${fontFamily}`,
    grid: line,
    ticks: { ...line, size: 4 },
  };
  const log = {
    splits: (
      /** @type {uPlot} */ _,
      /** @type {number} */ __,
      /** @type {number} */ min,
      /** @type {number} */ max,
    ) => logTicks(min, max),
    filter: (/** @type {uPlot} */ _, /** @type {number[]} */ splits) => splits,
  };
  const whole = [1, 2, 5].flatMap((step) =>
    [1, 10, 100, 1000, 10_000].map((power) => step * power),
  );
  return {
    scales: {
      // The range is a function of the zoom, so data that arrives never moves a zoomed view.
      x: { time: false, range: (_, __, max) => zoom.peek() ?? [1, Math.max(2, max ?? 2)] },
      y: { distr: isLog(quantity) ? 3 : 1, range: rangeOf(quantity) },
    },
    axes: [
      {
        ...axis,
        size: 30,
        space: 44,
        incrs: whole.sort((a, b) => a - b),
        values: (_, splits) => splits.map((epoch) => (isEmpty ? "" : String(epoch))),
      },
      {
        ...axis,
        size: (_, values) =>
          Math.max(34, 12 + 7 * Math.max(0, ...(values ?? []).map((text) => text.length))),
        space: 30,
        values: (_, splits) =>
          splits.map((tick) =>
            isEmpty || tick == null ? "" : String(Number(tick.toPrecision(4))),
          ),
        ...(isLog(quantity) && log),
      },
    ],
  };
}

/** @param {Line} line @param {Tail} tail @returns {uPlot.Series} */
function seriesOf(line, tail) {
  const width = widthOf(line);
  return {
    paths: tail.paths,
    stroke: width ? paint(state.tints.peek().get(line.job.id) ?? "var(--ink)") : undefined,
    width,
    dash: line.part === "train" ? [5, 4] : undefined,
    points: { show: (chart) => chart.data[0].length === 1 && width > 0, size: 6 },
    spanGaps: true,
  };
}

/**
 * The area between the lowest and the highest of jobs that differ in their seed.
 *
 * @param {Line[]} lines
 * @param {Quantity} quantity
 * @returns {uPlot.Band[]}
 */
function bandsOf(lines, quantity) {
  // The highest accuracy is the lowest error, and uPlot fills downwards.
  const top = quantity === "accuracy" && showsError.peek() ? "low" : "high";
  return lines.flatMap(({ job, part }, index) => {
    if (part !== top) return [];
    const other = top === "high" ? index : index + 2;
    const colour = paint(state.tints.peek().get(job.id) ?? "var(--ink)");
    const fill = colour.replace("rgb(", "rgba(").replace(")", ", 0.16)");
    return [{ series: /** @type {[number, number]} */ ([index + 1, other]), fill }];
  });
}

// --- The chart ----------------------------------------------------------------------------------

/** A drag zooms both charts to whole epochs. @param {uPlot} chart */
function onSelect(chart) {
  const { left, width } = chart.select;
  if (width < SHORTEST_DRAG) return;
  const from = Math.max(1, Math.floor(chart.posToVal(left, "x")));
  const to = Math.ceil(chart.posToVal(left + width, "x"));
  chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  zoom.value = [from, Math.max(from + 1, to)];
}

/** @param {uPlot} chart */
function listen(chart) {
  let pressedAt = 0;
  let before = state.at.peek();
  chart.over.addEventListener("dblclick", () => {
    zoom.value = null;
    state.at.value = before; // the two clicks were none
  });
  chart.over.addEventListener("mousedown", ({ clientX, detail }) => {
    pressedAt = clientX;
    if (detail === 1) before = state.at.peek();
  });
  chart.over.addEventListener("click", ({ clientX, offsetX }) => {
    const epoch = Math.round(chart.posToVal(offsetX, "x"));
    if (Math.abs(clientX - pressedAt) < SHORTEST_DRAG && epoch >= 1) showEpoch(epoch);
  });
}

/**
 * @param {Quantity} quantity
 * @param {Line[]} lines
 * @param {(chart: uPlot) => void} onRead is called when the pointer moves
 * @param {Tail} tail
 * @returns {Omit<uPlot.Options, "width" | "height">}
 */
export function optionsOf(quantity, lines, onRead, tail) {
  /** @type {uPlot.Hooks.Defs["setSeries"]} */
  const onNear = (chart, index) => {
    if (!chart.over.matches(":hover")) return; // the other chart follows
    state.hovered.value = index ? lines[index - 1].job.id : null;
    onRead(chart);
  };
  return {
    legend: { show: false },
    padding: [10, 14, 0, 0],
    cursor: {
      sync: { key: "epochs" },
      points: { show: lines.length <= 2 * MANY, size: 6 },
      drag: { x: true, y: false, setScale: false },
      focus: { prox: NEAR },
    },
    focus: { alpha: 1 },
    series: [{}, ...lines.map((line) => seriesOf(line, tail))],
    bands: bandsOf(lines, quantity),
    hooks: {
      ready: [listen],
      setSelect: [onSelect],
      setCursor: [onRead],
      setSeries: [onNear],
      setScale: [(chart) => tail.onScale(chart)],
      draw: [
        (chart) => {
          chart.ctx.save();
          drawMarkers(chart, lines, tail.first);
          drawShownEpoch(chart);
          chart.ctx.restore();
        },
      ],
    },
    ...axesOf(quantity, lines.length === 0),
  };
}
