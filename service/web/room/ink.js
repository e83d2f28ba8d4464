/**
 * The ink on the pad, which this module alone writes: strokes, samples and pictures.
 *
 * @import { Signal } from "@preact/signals"
 */
import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { addressed } from "../address.js";
import { get, Problem } from "../api.js";
import { complain, notify } from "../notices.js";
import { readUpTo } from "../reading.js";
import { asked, link, place } from "../state.js";

/** Points of strokes lie on a grid of 64x64, so that a drawing is short enough for an address. */
export const GRID_LAST = 63;
const SPACING = 3;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LONGEST_STEP = 31;
/** Steps are written as letters of their own, the first one from the centre. */
const OFFSET = 32;
const REMEMBERED = 100;
/** A sample in an address: its data set, unless it is the network's own, its split and its row. */
const SAMPLE = /^(?:([a-z0-9][a-z0-9._-]*):)?(train|validation|test):(\d+)$/;

/**
 * @typedef {readonly [x: number, y: number]} Point
 *
 * @typedef {object} Sample of a data set
 * @property {string} dataset
 * @property {string} split
 * @property {number} index
 * @property {number} label
 * @property {number[][]} pixels
 *
 * @typedef {object} Ink
 * @property {Point[][]} strokes the last point of a stroke is its tip, which the pen may move
 * @property {Sample | null} sample under the strokes
 * @property {{ blob: Blob, bitmap: ImageBitmap | null } | null} file a picture instead of both
 */

/** @type {Ink} */
const BLANK = { strokes: [], sample: null, file: null };
/** What is on the pad. It is replaced, never changed. @type {Signal<Ink>} */
export const ink = signal(BLANK);
/** @type {Signal<Ink[]>} */
const past = signal([]);
export const canUndo = computed(() => past.value.length > 0);
/** A sample that is being read, and the strokes upon it; without a data set, it is the network's own. @type {Signal<{ dataset: string | null, split: string, index: number, strokes: Point[][] } | null>} */
const wished = signal(null);
/** The strokes as an address has them: those that are finished, for it can't change at each move. */
const writing = signal("");

export const isBlank = () => isEmpty(ink.value);
const isEmpty = (/** @type {Ink} */ { strokes, sample, file }) =>
  !strokes.length && !sample && !file;

// --- Changing it --------------------------------------------------------------------------------

/** @param {Partial<Ink>} next everything that is not named is blank */
function replace(next) {
  batch(() => {
    past.value = [...past.peek().slice(1 - REMEMBERED), ink.peek()];
    ink.value = { ...BLANK, ...next };
    wished.value = null;
    writing.value = write(ink.peek().strokes);
  });
}

/** Take back the last stroke, or whatever else has changed the ink. */
export function undo() {
  const before = past.peek().at(-1);
  if (!before) return;
  replace(before);
  past.value = past.peek().slice(0, -2);
}

export function clear() {
  if (!isEmpty(ink.peek()) || wished.peek()) replace({});
}

/** Show a picture file; the server may know formats that the browser does not. @param {Blob} blob */
export async function showFile(blob) {
  const bitmap = await createImageBitmap(blob).catch(() => null);
  replace({ file: { blob, bitmap } });
  place.value = "room";
}

/** Show a sample of a data set; by default, of the one that the asked network has learned. @param {string} split @param {number} index @param {string} [name] */
export function showSample(split, index, name) {
  wished.value = { dataset: name ?? null, split, index, strokes: [] };
  place.value = "room";
}

/** Show any sample of the test set. */
export async function showTestSample() {
  const { test_rows } = await get(`/v1/datasets/${dataset()}`);
  showSample("test", Math.floor(Math.random() * test_rows));
}

const dataset = () => asked.peek()?.spec.dataset ?? "mnist";

async function readSample() {
  const wish = wished.peek();
  if (!wish) return;
  try {
    const name = wish.dataset ?? dataset();
    const sample = await get(`/v1/datasets/${name}/${wish.split}/${wish.index}.json`);
    if (wished.peek() === wish) replace({ strokes: wish.strokes, sample });
  } catch (error) {
    if (!(error instanceof Problem)) return; // no answer: it is read when the server is back
    if (wished.peek() === wish) wished.value = null;
    complain(error);
  }
}
effect(() => {
  // The network, and with it its data set, is known once the list of jobs is.
  if (wished.value && link.value === "live" && readUpTo.value !== null) untracked(readSample);
});

/** @param {any} rows @returns {number[]} how long they are in each direction */
const shapeOf = (rows) => (Array.isArray(rows) ? [rows.length, ...shapeOf(rows[0])] : []);
const sizeIn = (/** @type {number[]} */ [height, width, channels]) =>
  `${height}x${width} pixels${channels ? " in colour" : ""}`;
effect(() => {
  const { sample, strokes } = ink.value;
  const shape = asked.value?.data.shape;
  // Networks of numbers have no pad, which is then as it was before.
  if (!sample || !shape || shape.length === 1) return;
  const has = shapeOf(sample.pixels);
  if (String(has) === String(shape)) return;
  untracked(() => replace({ strokes }));
  const text = `The picture of ${sample.dataset} is no longer on the pad: it has ${sizeIn(has)}, and this network reads ${sizeIn(shape)}.`;
  notify({ text });
});

// --- Strokes ------------------------------------------------------------------------------------

const onGrid = (/** @type {number} */ value) => Math.max(0, Math.min(GRID_LAST, value * GRID_LAST));
const rounded = (/** @type {Point} */ [x, y]) =>
  /** @type {Point} */ ([Math.round(x), Math.round(y)]);
/** @param {Point} from @param {Point} to */
const distance = (from, to) => Math.hypot(to[0] - from[0], to[1] - from[1]);

/** @param {Point} at with both coordinates from 0 to 1 */
export function begin(at) {
  const { strokes, sample } = ink.peek();
  replace({ strokes: [...strokes, [rounded([onGrid(at[0]), onGrid(at[1])])]], sample });
}

/** Move the tip of the last stroke. @param {Point[]} path with coordinates from 0 to 1 */
export function extend(path) {
  const { strokes, sample } = ink.peek();
  const stroke = [...(strokes.at(-1) ?? [])];
  if (!stroke.length) return; // it has been taken back meanwhile
  for (const [x, y] of path) {
    /** @type {Point} */
    const tip = [onGrid(x), onGrid(y)];
    if (stroke.length > 1) stroke.pop();
    const last = /** @type {Point} */ (stroke.at(-1));
    if (distance(last, tip) >= SPACING) stroke.push(...steps(last, rounded(tip)));
    stroke.push(tip);
  }
  ink.value = { ...BLANK, strokes: [...strokes.slice(0, -1), stroke], sample };
}

/** Return points between two of them, and the second, none too far from the one before. @param {Point} from @param {Point} to @returns {Point[]} */
function steps(from, to) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const count = Math.ceil(Math.max(Math.abs(dx), Math.abs(dy)) / LONGEST_STEP);
  return Array.from({ length: count }, (_, at) =>
    rounded([from[0] + (dx * (at + 1)) / count, from[1] + (dy * (at + 1)) / count]),
  );
}

/** Lift the pen: what is seen becomes what the address says. */
export function finish() {
  const { strokes, sample } = ink.peek();
  const stroke = strokes.at(-1);
  if (!stroke) return;
  const tip = rounded(/** @type {Point} */ (stroke.at(-1)));
  const before = stroke.at(-2);
  const isMore = !before || distance(before, tip) > 0;
  const whole = [...stroke.slice(0, -1), ...(isMore ? [tip] : [])];
  ink.value = { ...BLANK, strokes: [...strokes.slice(0, -1), whole], sample };
  writing.value = write(ink.peek().strokes);
}

// --- In the address -----------------------------------------------------------------------------

/** @param {Point[][]} strokes of points on the grid @returns {string} */
function write(strokes) {
  const letter = (/** @type {number} */ value) => LETTERS[Math.round(value)];
  return strokes
    .map((stroke) =>
      stroke
        .map(([x, y], at) => {
          const [left, top] = stroke[at - 1] ?? [OFFSET, OFFSET];
          return letter(x - left + OFFSET) + letter(y - top + OFFSET);
        })
        .join(""),
    )
    .join(".");
}

/** @param {string} text @returns {Point[][]} nothing if it is no drawing */
function read(text) {
  if (!/^([\w-]{2})+(\.([\w-]{2})+)*$/.test(text)) return [];
  const strokes = text.split(".").map((letters) => {
    const values = [...letters].map((each) => LETTERS.indexOf(each));
    let [x, y] = [OFFSET, OFFSET];
    return Array.from({ length: values.length / 2 }, (_, at) => {
      x += Number(values[2 * at]) - OFFSET;
      y += Number(values[2 * at + 1]) - OFFSET;
      return /** @type {Point} */ ([x, y]);
    });
  });
  const isOn = strokes.flat(2).every((value) => value >= 0 && value <= GRID_LAST);
  return isOn ? strokes : [];
}

addressed({
  key: "ink",
  write: () => writing.value || null,
  read: (text) => {
    if ((text ?? "") !== writing.peek()) replace({ strokes: read(text ?? "") });
  },
});
const sampleName = computed(() => {
  const shown = wished.value ?? ink.value.sample;
  if (!shown) return null;
  const { dataset: name, split, index } = shown;
  const isOwn = name === null || name === (asked.value?.spec.dataset ?? "mnist");
  return `${isOwn ? "" : `${name}:`}${split}:${index}`;
});
addressed({
  key: "pad",
  write: () => sampleName.value,
  read: (text) => {
    if (text === sampleName.peek()) return;
    const [, name = null, split, index] = text?.match(SAMPLE) ?? [];
    if (split) {
      const { strokes } = ink.peek();
      wished.value = { dataset: name, split, index: Number(index), strokes };
    } else if (ink.peek().sample) replace({ strokes: ink.peek().strokes });
  },
});
