/**
 * Colours of the page on a canvas, and what is drawn over the curves.
 *
 * @import { Line } from "./plot.js"
 */

import * as state from "../state.js";
import { palette } from "../weights/tiles.js";
import { markers } from "./charts.js";
import { bestOf, MANY } from "./plot.js";

const FADED = 0.35;
/** Points from one marker of a curve to the next; in a crowd, markers are rarer. */
const MARKER_EVERY = 10;
const CROWD_EVERY = 60;

const probe = document.createElement("i");
probe.hidden = true;

/** Colours that were asked for, because the browser computes all styles for each answer. @type {Map<string, string>} */
const painted = new Map();
palette.subscribe(() => painted.clear());

/** Return a colour of the page as a canvas understands it. @param {string} colour */
export function paint(colour) {
  const known = painted.get(colour);
  if (known) return known;
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = colour;
  const found = getComputedStyle(probe).color;
  painted.set(colour, found);
  return found;
}

/** The epoch that is shown and asked. @param {uPlot} chart */
export function drawShownEpoch({ ctx, bbox, scales, valToPos }) {
  const at = state.at.peek();
  const { min, max } = scales.x;
  if (at === null || min == null || max == null || at < min || at > max) return;
  const x = valToPos(at, "x", true);
  ctx.strokeStyle = paint("var(--ink)");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
}

/** @param {uPlot} chart @param {Line[]} lines @param {number} start index of the first point that is drawn */
export function drawMarkers(chart, lines, start) {
  const { ctx, data, scales } = chart;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.font = `${9 * devicePixelRatio}px sans-serif`;
  const [from, to] = [scales.x.min ?? 1, scales.x.max ?? 2];
  const put = (
    /** @type {string} */ glyph,
    /** @type {number} */ index,
    /** @type {number} */ point,
  ) => {
    const value = data[index + 1][point];
    if (value == null || point < start || data[0][point] < from || data[0][point] > to) return;
    ctx.fillText(
      glyph,
      chart.valToPos(data[0][point], "x", true),
      chart.valToPos(value, "y", true),
    );
  };
  const every = lines.length > 2 * MANY ? CROWD_EVERY : MARKER_EVERY;
  for (const [index, { job, part }] of lines.entries()) {
    if (part !== "test") continue;
    const glyph = markers.peek().get(job.id);
    ctx.fillStyle = paint(state.tints.peek().get(job.id) ?? "var(--ink)");
    ctx.globalAlpha = chart.series[index + 1].alpha ?? 1;
    // Neighbours do not have theirs at the same epochs, where they would hide each other.
    const first = 4 + ((7 * index) % every);
    for (let point = first; glyph && point < data[0].length; point += every)
      put(glyph, index, point);
    ctx.globalAlpha = 1;
    if (job.state !== "failed") continue;
    ctx.fillStyle = paint("var(--bad)");
    put(
      "✖",
      index,
      data[index + 1].findLastIndex((value) => value != null),
    );
  }
}

/**
 * Let the job under the pointer stand out, and in a crowd the best one.
 *
 * @param {uPlot} chart
 * @param {Line[]} lines
 * @returns {boolean} whether the chart is to be drawn again
 */
export function setAlphas(chart, lines) {
  const jobs = [...new Set(lines.map((line) => line.job))];
  const found = jobs.find((job) => job.id === state.hovered.peek());
  const shown = found ?? (jobs.length > MANY ? bestOf(jobs) : undefined);
  let isChanged = false;
  for (const [index, { job, faint, part }] of lines.entries()) {
    const stands = part === "mean" || part === "low" || part === "high" ? !found : job === shown;
    const alpha = stands || (!shown && !faint) ? 1 : FADED;
    isChanged ||= chart.series[index + 1].alpha !== alpha;
    chart.series[index + 1].alpha = alpha;
  }
  return isChanged;
}
