/**
 * Weights and digits as pictures, painted pixel by pixel.
 *
 * Weights are red where ink speaks against a unit and blue where it speaks for it. They are int8, so
 * that a table of 256 colours paints them.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Weights } from "../records.js"
 */
import { signal } from "@preact/signals";

/** In weights of the type int8, what stands for a value that is not a number. */
export const NOT_A_NUMBER = -128;
const SHEET_COLUMNS = 16;
/** Pictures that are enlarged less than this look better when they are smoothed. */
const LEAST_SHARP = 3;

// --- Colours ------------------------------------------------------------------------------------

/** @typedef {"paper" | "night"} Palette */

const STOPS = {
  paper: "67001f b2182b d6604d f4a582 fddbc7 f7f7f7 d1e5f0 92c5de 4393c3 2166ac 053061",
  night: "ff604e 0d0f12 5caaff",
};
const HATCH = { paper: ["8d8a83", "d8d5ce"], night: ["6f757b", "2c3136"] };

/** @returns {boolean} whether the page is dark, chosen by hand or by the system */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The palette of the page around the dark room. @type {Signal<Palette>} */
export const palette = signal(isDark() ? "night" : "paper");
document.addEventListener("theme", () => {
  palette.value = isDark() ? "night" : "paper";
});

/** How many pixels of the screen a CSS pixel has. */
export const density = signal(devicePixelRatio);
function watchDensity() {
  density.value = devicePixelRatio;
  const query = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
  query.addEventListener("change", watchDensity, { once: true });
}
watchDensity();

const channels = (/** @type {string} */ hex) =>
  [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
/** @param {number[]} rgb @returns {number} as ImageData has it, read as a little-endian word */
const word = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** @type {Map<string, Uint32Array>} */
const tables = new Map();
/** @param {Palette} name @param {number} cut @returns {Uint32Array} the colours of -128, …, 127 */
function tableOf(name, cut) {
  const known = tables.get(name + cut);
  if (known) return known;
  const stops = STOPS[name].split(" ").map(channels);
  const table = new Uint32Array(256).map((_, index) => {
    const value = Math.max(-1, Math.min(1, (index - 128) / cut));
    const place = ((value + 1) / 2) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    const [from, to] = [stops[low], stops[low + 1]];
    return word(
      from.map((channel, at) => Math.round(channel + (place - low) * (to[at] - channel))),
    );
  });
  tables.set(name + cut, table);
  return table;
}

// --- Painting -----------------------------------------------------------------------------------

/**
 * Return a canvas of many pictures beside each other, each of them `width` pixels wide.
 *
 * @param {Int8Array} values of all pictures, one after the other
 * @param {{count: number, width: number, columns: number, cut: number, name: Palette}} options
 */
function paint(values, { count, width, columns, cut, name }) {
  const [height, rows] = [values.length / count / width, Math.ceil(count / columns)];
  const image = new ImageData(columns * width, rows * height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = tableOf(name, cut);
  const hatch = HATCH[name].map((hex) => word(channels(hex)));
  for (let at = 0; at < values.length; at++) {
    const [line, x] = [Math.floor(at / width), at % width];
    const [tile, y] = [Math.floor(line / height), line % height];
    const place =
      (Math.floor(tile / columns) * height + y) * image.width + (tile % columns) * width + x;
    const value = values[at];
    pixels[place] = value === NOT_A_NUMBER ? hatch[(x + y) % 4 < 2 ? 0 : 1] : table[value + 128];
  }
  const canvas = Object.assign(document.createElement("canvas"), {
    width: image.width,
    height: image.height,
  });
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
  return canvas;
}

/** @type {WeakMap<Weights, Map<string, HTMLCanvasElement>>} */
const painted = new WeakMap();
/** @param {Weights} weights @param {Palette} name @returns {HTMLCanvasElement} all units, painted once */
function sheetOf(weights, name) {
  const sheets = painted.get(weights) ?? new Map();
  painted.set(weights, sheets);
  const { values, units: count, cut } = weights;
  const width = weights.form?.[1] ?? weights.inputs;
  const columns = weights.form ? Math.min(SHEET_COLUMNS, count) : 1;
  const key = `${name} ${width}`;
  if (!sheets.has(key)) sheets.set(key, paint(values, { count, width, columns, cut, name }));
  return sheets.get(key);
}

/**
 * Draw what one unit looks for.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Weights} weights of the first layer
 * @param {number} unit among them, counted from 0
 * @param {{x: number, y: number, side: number, name: Palette}} place
 */
export function drawTile(context, weights, unit, { x, y, side, name }) {
  const [sheet, [height, width]] = [sheetOf(weights, name), weights.form ?? [1, 1]];
  const columns = sheet.width / width;
  const [left, top] = [(unit % columns) * width, Math.floor(unit / columns) * height];
  const scale = side / Math.max(width, height);
  const [across, down] = [width * scale, height * scale];
  context.imageSmoothingEnabled = scale * context.getTransform().a < LEAST_SHARP;
  const [right, below] = [x + (side - across) / 2, y + (side - down) / 2];
  context.drawImage(sheet, left, top, width, height, right, below, across, down);
}

/**
 * Draw the units as rows and their inputs as columns.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Weights} weights of any layer but the first
 * @param {{width: number, height: number, name: Palette}} place
 */
export function drawMatrix(context, weights, { width, height, name }) {
  context.imageSmoothingEnabled = false;
  context.drawImage(sheetOf(weights, name), 0, 0, width, height);
}

/**
 * Size a canvas for the density of the screen and clear it.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width in CSS pixels
 * @param {number} height in CSS pixels
 * @returns {CanvasRenderingContext2D} which counts in CSS pixels
 */
export function fit(canvas, width, height) {
  const [across, down] = [Math.round(width * density.value), Math.round(height * density.value)];
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(across / width, 0, 0, down / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** @typedef {readonly number[]} Form height and width of a picture; what follows is left aside */

/**
 * Paint levels from 0 to 255 at one pixel of the canvas each.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} levels a grey one for each pixel, or red, green and blue
 * @param {Form} form
 */
export function paintPicture(canvas, levels, form) {
  const [height, width] = form;
  const channels = levels.length / (height * width);
  const words = Array.from({ length: height * width }, (_, at) => {
    const first = at * channels;
    const red = levels[first];
    return word(channels < 3 ? [red, red, red] : [red, levels[first + 1], levels[first + 2]]);
  });
  paintWords(canvas, words, form);
}

const board = document.createElement("canvas");
/** @param {ArrayLike<number>} levels @param {Form} form @returns {string} the address of that picture */
export function pictureUrl(levels, form) {
  paintPicture(board, levels, form);
  return board.toDataURL(); // many canvases on a page go blank on phones, images don't
}

/**
 * Paint signed numbers, such as contributions, at one pixel of the canvas each.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} numbers one for each pixel, or three that are added up
 * @param {Form} form
 * @param {Palette} name
 */
export function paintSigned(canvas, numbers, form, name) {
  const [height, width] = form;
  const channels = numbers.length / (height * width);
  const values = Array.from({ length: height * width }, (_, at) => {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++) sum += numbers[at * channels + channel];
    return sum;
  });
  const top = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  const table = tableOf(name, 127);
  const step = (/** @type {number} */ value) =>
    Math.max(-127, Math.min(127, Math.round((127 * value) / top)));
  const words = values.map((value) => Number(table[step(value) + 128]));
  paintWords(canvas, words, form);
}

/** @param {HTMLCanvasElement} canvas @param {number[]} words @param {Form} form */
function paintWords(canvas, words, [height, width]) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = new ImageData(width, height);
  new Uint32Array(image.data.buffer).set(words);
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
}
