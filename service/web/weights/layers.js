/**
 * Reads the weights of layers, once for each checkpoint.
 *
 * @import { ReadonlySignal, Signal } from "@preact/signals"
 * @import { Job, Wanted, Weights } from "../records.js"
 * @import { Form } from "./tiles.js"
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { addressed } from "../address.js";
import { getArray, Problem, sleep } from "../api.js";
import { formOfJob } from "../datasets.js";
import { complain } from "../notices.js";
import * as state from "../state.js";
import { NOT_A_NUMBER } from "./tiles.js";

/** Units that are read at once. */
export const PAGE = 128;
const CACHED_BYTES = 4e6;
const CUT = 0.995;

/** Whether the weights are shown without those at the start, which are noise. */
export const learned = signal(true);
addressed({
  key: "learned",
  write: () => (learned.value ? null : "0"),
  read: (text) => {
    learned.value = text !== "0";
  },
});

/** Newest last. @type {Map<string, {weights: Promise<Weights>, bytes: number}>} */
const cache = new Map();
const nameOf = (/** @type {Wanted} */ wanted) =>
  `${wanted.key} ${wanted.layer} ${wanted.offset} ${wanted.learned}`;

/**
 * Return weights, from the cache if they are there.
 *
 * @param {Wanted} wanted
 * @returns {Promise<Weights>}
 * @throws {Problem}
 */
export function readWeights(wanted) {
  const name = nameOf(wanted);
  const entry = cache.get(name) ?? { weights: fetchWeights(wanted), bytes: 0 };
  cache.delete(name);
  cache.set(name, entry);
  entry.weights.then(
    ({ values }) => {
      entry.bytes = values.length;
      forgetOldest();
    },
    () => cache.delete(name),
  );
  return entry.weights;
}

function forgetOldest() {
  let bytes = [...cache.values()].reduce((sum, entry) => sum + entry.bytes, 0);
  for (const [name, entry] of cache) {
    if (bytes <= CACHED_BYTES || cache.size === 1) return;
    bytes -= entry.bytes;
    cache.delete(name);
  }
}

/** Jobs whose start only another version of NumPy could make again. @type {Set<string>} */
const startless = new Set();

/** @param {Wanted} wanted @returns {Promise<Weights>} as they are if the start is unknown */
async function fetchWeights(wanted) {
  const [job] = wanted.ref.split("@");
  if (!wanted.learned || startless.has(job)) return fetchUnits({ ...wanted, learned: false });
  try {
    return await fetchUnits(wanted);
  } catch (error) {
    if (!(error instanceof Problem && error.code === "start-unknown")) throw error;
    startless.add(job);
    complain(error);
    return fetchWeights(wanted);
  }
}

/** @param {Wanted} wanted @returns {Promise<Weights>} */
async function fetchUnits(wanted) {
  const { ref, layer, offset } = wanted;
  const minus = wanted.learned ? "&minus=start" : "";
  const query = `units=${PAGE}&offset=${offset}&dtype=int8${minus}`;
  const found = await getArray(`/v1/models/${ref}/layers/${layer}/weights.npy?${query}`);
  const values = /** @type {Int8Array} */ (found.data);
  const [units, inputs] = found.shape;
  const job = state.job(ref.split("@")[0]);
  return {
    ...wanted,
    values,
    units,
    inputs,
    form: layer === 1 && job ? formOf(job, inputs) : null,
    scale: found.scale,
    cut: cutOf(values),
  };
}

/** @param {Job} job @param {number} inputs of its network @returns {Form | null} of its pictures */
function formOf(job, inputs) {
  const form = formOfJob(job);
  // Weights of colours, and of columns of a table, are no pictures.
  return form && form[0] * form[1] === inputs ? form : null;
}

/** @param {Int8Array} values @returns {number} */
function cutOf(values) {
  const counts = new Uint32Array(129);
  for (const value of values) counts[Math.abs(value)]++;
  counts[-NOT_A_NUMBER] = 0;
  let left = (1 - CUT) * counts.reduce((sum, count) => sum + count, 0);
  let cut = 127;
  while (cut > 1 && left >= counts[cut]) left -= counts[cut--];
  return cut;
}

/** @param {number} layer @param {number} [offset] @returns {Wanted | null} of the network that is asked */
export function wantedNow(layer, offset = 0) {
  const [ref, key] = [state.ref.value, state.weightsKey.value];
  return ref && key ? { ref, key, layer, offset, learned: learned.value } : null;
}

/**
 * Return a signal that holds the wanted weights; the last ones stay until the next ones are there.
 *
 * @param {ReadonlySignal<Wanted | null>} wanted
 * @returns {ReadonlySignal<Weights | null>}
 */
export const weightsOf = (wanted) => newestOf(wanted, nameOf, readWeights);

/**
 * Return a signal that holds what was read for the newest wish; until then it holds the last one.
 *
 * There is never more than one request under way.
 *
 * @template Wish, Found
 * @param {ReadonlySignal<Wish | null>} wanted null if nothing is to be shown
 * @param {(wish: Wish) => string} name of the wish, by which equal ones are known
 * @param {(wish: Wish) => Promise<Found>} read
 * @param {number} [pauseMs] between two requests, for those that cost the server something
 * @returns {ReadonlySignal<Found | null>}
 */
export function newestOf(wanted, name, read, pauseMs = 0) {
  const shown = /** @type {Signal<Found | null>} */ (signal(null));
  let tried = "";
  let shownName = "";
  let isBusy = false;
  let wasLive = false;
  async function readOne(/** @type {Wish} */ wish) {
    tried = name(wish);
    try {
      const found = await read(wish);
      if (wanted.peek()) shown.value = found;
      shownName = tried;
    } catch (error) {
      if (error instanceof Problem) complain(error);
    }
    if (pauseMs) await sleep(pauseMs);
  }
  async function readAll() {
    if (isBusy) return;
    isBusy = true;
    for (let wish = wanted.peek(); wish && name(wish) !== tried; wish = wanted.peek()) {
      await readOne(wish);
    }
    isBusy = false;
  }
  effect(() => {
    // What failed while the server was away is tried again when it is back, and only then.
    const isBack = state.link.value === "live" && !wasLive;
    wasLive = state.link.value === "live";
    if (!wanted.value || (isBack && shownName !== tried)) tried = "";
    if (wanted.value) untracked(readAll);
    else shown.value = null;
  });
  return shown;
}

/** The first units of the first layer of the network that is asked. */
export const firstLayer = weightsOf(computed(() => wantedNow(1)));
