/**
 * News in a chart, drawn without what it leaves as it was.
 *
 * All pixels to the left of the first changed point stay. So they are neither cleared nor drawn again,
 * which is most of the work in a crowd of long curves.
 */

/** How far a marker reaches from the middle of its point, in CSS pixels. */
const REACH = 8;
/** Beside the edge of a clip, browsers leave out parts of thin lines: so many columns are kept as they were. */
const EDGE = 4;

export class Tail {
  /** Index of the first point that is drawn. */
  first = 0;
  /** Whether the paths that uPlot keeps begin at a later point than the first one. */
  #isPart = false;
  #isClipped = false;
  #left = 0;
  #edge = document.createElement("canvas");
  #before;
  #linear = /** @type {uPlot.Series.PathBuilder} */ (uPlot.paths.linear?.());

  /** @param {uPlot.AlignedData} data with which the chart is drawn at first */
  constructor(data) {
    this.#before = copy(data);
  }

  /** Build the path of a line from the first point that is drawn. @type {uPlot.Series.PathBuilder} */
  paths = (chart, line, from, to) => {
    const values = chart.data[line];
    let start = Math.max(from, Math.min(to, this.first));
    while (start > from && values[start] == null) start--;
    return this.#linear(chart, line, start, to);
  };

  /**
   * Draw a chart with other data.
   *
   * @param {uPlot} chart
   * @param {uPlot.AlignedData} data
   * @param {{ width: number, height: number }} size
   * @param {boolean} isNews whether nothing but data and size may have changed
   */
  draw(chart, data, size, isNews) {
    const { ctx } = chart;
    const isSized = chart.width !== size.width || chart.height !== size.height;
    if (isNews && !isSized) this.#clip(chart, data, firstChange(this.#before, data));
    this.#before = copy(data);
    // Drawn now and not later, so that its cost can be measured.
    chart.batch(() => {
      if (isSized) chart.setSize(size);
      chart.setData(data);
    });
    this.#isPart = this.#isClipped;
    if (this.#isClipped) {
      unclip(ctx);
      ctx.clearRect(this.#left, 0, EDGE, this.#edge.height);
      ctx.drawImage(this.#edge, this.#left, 0);
    }
    this.#isClipped = false;
    this.first = 0;
  }

  /** Draw all of a chart again, with the same data. @param {uPlot} chart */
  redraw(chart) {
    // Not at once: news may move another curve under the pointer, and uPlot forgets what it is asked while it draws.
    queueMicrotask(() => {
      chart.redraw(this.#isPart);
      this.#isPart = false;
    });
  }

  /** @param {uPlot} chart @param {uPlot.AlignedData} data @param {number} changed */
  #clip(chart, [epochs], changed) {
    const { ctx } = chart;
    const { width, height } = ctx.canvas;
    const at = (/** @type {number} */ index) => chart.valToPos(epochs[index], "x", true);
    const reach = REACH * devicePixelRatio;
    const left = Math.floor(at(changed) - reach) - EDGE;
    this.first = changed;
    while (this.first > 0 && at(this.first) > left - reach) this.first--;
    Object.assign(this.#edge, { width: EDGE, height });
    this.#edge.getContext("2d")?.drawImage(ctx.canvas, -left, 0);
    this.#left = left;
    this.#isClipped = true;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, 0, width - left, height);
    ctx.clip();
  }

  /** An axis has another range, so everything moves. @param {uPlot} chart */
  onScale({ ctx }) {
    if (!this.#isClipped) return;
    ctx.restore();
    this.#isClipped = false;
    this.first = 0;
  }
}

/** Thinned curves change in place. @param {uPlot.AlignedData} data */
const copy = (data) => /** @type {uPlot.AlignedData} */ (data.map((list) => list.slice()));

/**
 * Return the index of the last point in front of all that differ, in any line.
 *
 * @param {uPlot.AlignedData} before
 * @param {uPlot.AlignedData} after
 */
function firstChange(before, after) {
  let first = after[0].length - 1;
  for (const [line, values] of after.entries()) {
    const old = before[line];
    let index = 0;
    while (index <= first && values[index] === old[index]) index++;
    if (index > first) continue;
    // Lines lead over points without a value.
    do index--;
    while (index > 0 && values[index] == null);
    first = Math.max(0, index);
  }
  return first;
}

const STYLES = /** @type {const} */ ([
  "strokeStyle",
  "fillStyle",
  "lineWidth",
  "lineJoin",
  "lineCap",
  "font",
  "textAlign",
  "textBaseline",
  "globalAlpha",
]);

/** Take back the clip and nothing else, for uPlot remembers which styles it has set. @param {any} ctx */
function unclip(ctx) {
  const styles = STYLES.map((name) => ctx[name]);
  const dash = ctx.getLineDash();
  ctx.restore();
  for (const [index, name] of STYLES.entries()) {
    if (ctx[name] !== styles[index]) ctx[name] = styles[index]; // a font costs even if it is the same
  }
  ctx.setLineDash(dash);
}
