/**
 * Asks the networks what is on the pad. This module alone writes their answers.
 *
 * There is never more than one question under way, and the next one is about the newest ink.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Ink } from "./ink.js"
 * @import { Answer, Asked, Job, Prediction } from "../records.js"
 */
import { batch, computed, effect, signal, untracked } from "@preact/signals";
import { addressedSignal } from "../address.js";
import { Problem, post } from "../api.js";
import { classesOfJob, isOnWhite, readsRows } from "../datasets.js";
import * as state from "../state.js";
import { ink, isBlank } from "./ink.js";
import { pictureOf } from "./pad.js";

/** Questions to a server that trains, and to one that answers slowly. */
const MOST_A_SECOND = 15;
const FRESH_MS = 250;
const PATIENCE_MS = 3000;
/** Activations of more units are megabytes of JSON, and nobody sees them. */
const MOST_UNITS = 4096;

/** What the asked networks say; empty while there is nothing to say. @type {Signal<Answer[]>} */
export const answers = signal([]);
/** Why there is no answer, in words. */
export const trouble = signal("");
/** Whether the answers are about other ink, or another network, for longer than a moment. */
export const isOld = signal(false);
/** The class against which the answer is explained; null for the second most probable one. @type {Signal<number | null>} */
export const rival = signal(null);
addressedSignal("rival", rival, null, (text) => (/^\d{1,3}$/.test(text) ? Number(text) : null));

/** @param {number} label which is the rival from now on, or no longer */
export function chooseRival(label) {
  const isTaken = label === rival.peek() || label === answers.peek()[0]?.prediction.label;
  rival.value = isTaken ? null : label;
}

/**
 * The networks that are asked: the leading one, and that of the other job if two are chosen that
 * tell the same classes apart.
 */
export const networks = computed(() => {
  if (readsRows.value) return [];
  const [job, ref, key] = [state.asked.value, state.ref.value, state.weightsKey.value];
  /** @type {Asked[]} */
  const found = job && ref && key ? [{ job, ref, key }] : [];
  const [first, second, ...more] = state.chosen.value;
  if (first?.id !== job?.id || !second?.checkpoint || more.length) return found;
  if (`${classesOfJob(first)}` !== `${classesOfJob(second)}`) return found;
  const sha256 = second.checkpoint.sha256;
  return [...found, { job: second, ref: second.id, key: `${second.id} ${sha256}` }];
});
const keys = computed(() => networks.value.map(({ key }) => key).join());
const refs = computed(() => networks.value.map(({ ref }) => ref).join());
export const mayAsk = computed(() => !state.system.value || state.may("predict"));

// --- Whether anybody looks ----------------------------------------------------------------------

const isOnScreen = signal(false);
const isHidden = signal(document.hidden);
document.addEventListener("visibilitychange", () => {
  isHidden.value = document.hidden;
});

/** Ask only while an element is on the screen. @param {Element} element @returns {() => void} */
export function watch(element) {
  const observer = new IntersectionObserver((seen) => {
    isOnScreen.value = seen.some((each) => each.isIntersecting);
  });
  observer.observe(element);
  return () => observer.disconnect();
}

// --- When to ask --------------------------------------------------------------------------------

const isReady = computed(
  () =>
    isOnScreen.value &&
    !isHidden.value &&
    state.link.value === "live" &&
    state.system.value !== null &&
    mayAsk.value &&
    keys.value !== "",
);
let isBusy = false;
let isAgain = false;
let timer = 0;
let earliest = 0;
let refusedSince = 0;

effect(() => {
  ink.value;
  keys.value;
  rival.value;
  isReady.value;
  untracked(isBlank() || !keys.peek() ? forget : askSoon);
});

/** There is nothing to read. */
function forget() {
  if (!answers.peek().length && !trouble.peek()) return;
  batch(() => {
    answers.value = [];
    trouble.value = "";
    isOld.value = false;
  });
}

function askSoon() {
  if (!isReady.peek()) return;
  ageSoon();
  isAgain = true;
  if (isBusy || timer) return;
  timer = setTimeout(ask, Math.max(0, earliest - performance.now()));
}

async function ask() {
  timer = 0;
  isAgain = false;
  const asked = networks.peek();
  const drawn = ink.peek();
  if (!isReady.peek() || isBlank() || unreadable.get(drawn) === setsOf(asked)) return;
  isBusy = true;
  try {
    const bodies = await Promise.all(asked.map(({ job }) => bodyOf(drawn, job)));
    const began = performance.now();
    const sent = asked.map((network, place) => askOne(network, drawn, bodies[place]));
    // Counted from when the last one was sent, however long a busy browser took to send them.
    earliest = performance.now() + (1000 * asked.length) / MOST_A_SECOND;
    take(await Promise.all(sent));
    // A server that has nothing else to do may spend half of its time on this.
    const isIdle = state.system.peek()?.slots.busy === 0;
    if (isIdle) earliest = Math.min(earliest, 2 * performance.now() - began);
  } catch (error) {
    refuse(error, drawn, setsOf(asked));
  }
  isBusy = false;
  if (isAgain) askSoon();
}

/** @param {Asked[]} asked @returns {string} the data sets whose pictures these networks read */
const setsOf = (asked) => asked.map(({ job }) => job.data.sha256).join();

/**
 * What the server made of files, by the data set of the network: the next question about one sends
 * that. Networks of other sets read other forms.
 *
 * @type {WeakMap<Ink, Map<string, Prediction["input"]>>}
 */
const readFiles = new WeakMap();

/** @param {Ink} drawn @param {Job} job that is asked @returns {Promise<unknown>} what is sent */
export async function bodyOf(drawn, job) {
  const input = readFiles.get(drawn)?.get(job.data.sha256);
  if (input) return { inputs: [{ pixels: input.pixels }], normalize: "never" };
  if (!drawn.sample || drawn.strokes.length) return pictureOf(drawn, isOnWhite.peek());
  const { dataset, split, index } = drawn.sample;
  return { inputs: [{ dataset, split, index }] };
}

/** @param {Job} job @returns {string} the query */
export function queryFor(job) {
  const units = job.spec.hidden.reduce((sum, width) => sum + width, 0);
  const parts = ["pixels", "probabilities", "contributions"];
  if (units && units <= MOST_UNITS) parts.push("activations", "votes");
  return `?return=${parts.join()}${rival.peek() === null ? "" : `&against=${rival.peek()}`}`;
}

/** @param {Asked} network @param {Ink} drawn @param {unknown} body @returns {Promise<Answer>} */
async function askOne({ job, ref }, drawn, body) {
  const found = await post(`/v1/models/${ref}/predict${queryFor(job)}`, body);
  /** @type {Prediction} */
  const prediction = found.predictions[0];
  if (drawn.file) {
    const read = readFiles.get(drawn) ?? new Map();
    prediction.input = read.get(job.data.sha256) ?? prediction.input;
    readFiles.set(drawn, read.set(job.data.sha256, prediction.input));
  }
  return { job: job.id, ref, epochs: found.epochs_done, ink: drawn, prediction };
}

// --- What comes back ----------------------------------------------------------------------------

/** @param {Answer[]} found */
function take(found) {
  refusedSince = 0;
  if (isBlank()) return;
  batch(() => {
    answers.value = found;
    trouble.value = "";
    freshen();
  });
}

/** Pictures that can't be read, and by networks of which data sets, so that none is sent twice. @type {WeakMap<Ink, string>} */
const unreadable = new WeakMap();

/** @param {unknown} error @param {Ink} drawn @param {string} sets of the networks that were asked */
function refuse(error, drawn, sets) {
  const now = performance.now();
  if (!(error instanceof Problem)) {
    // No answer came. If the connection is broken, the page asks again as soon as it is back.
    isAgain = true;
    earliest = now + 1000;
  } else if (error.status === 503) {
    isAgain = true;
    earliest = now + 1000 * Math.max(1, error.retryAfter);
    refusedSince ||= now;
    if (now - refusedSince > PATIENCE_MS) trouble.value = "Many are asking; yours is next.";
  } else {
    if ([413, 415, 422].includes(error.status)) unreadable.set(drawn, sets);
    batch(() => {
      answers.value = [];
      trouble.value = error.message;
      freshen();
    });
  }
}

let ageing = 0;
const isAbout = () =>
  answers.peek().every((answer) => answer.ink === ink.peek()) &&
  answers
    .peek()
    .map(({ ref }) => ref)
    .join() === refs.peek();

/** Dim the answers if no newer ones come; at once would flicker. */
function ageSoon() {
  if (ageing || !answers.peek().length || isAbout()) return;
  ageing = setTimeout(() => {
    ageing = 0;
    isOld.value = answers.peek().length > 0 && !isAbout();
  }, FRESH_MS);
}

function freshen() {
  clearTimeout(ageing);
  ageing = 0;
  isOld.value = false;
  ageSoon();
}
