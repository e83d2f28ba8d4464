/**
 * What the page knows about data sets, and about what networks expect: classes, and the form of rows.
 *
 * A job's own record says what its network expects, because its data set may be deleted, and another
 * one may have its name.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Dataset, Job } from "./records.js"
 */
import { computed, signal } from "@preact/signals";
import { get } from "./api.js";
import { asked } from "./state.js";

/** The set that is part of the service, as far as its networks need it before anything is read. */
const MNIST = /** @type {Partial<Dataset>} */ ({
  name: "mnist",
  input: "digit",
  image_shape: [28, 28],
  shape: [28, 28],
  classes: Array.from("0123456789"),
});

/** All sets of the server; null before they are read. @type {Signal<Dataset[] | null>} */
export const sets = signal(null);
/** Names for which the sets have been read, so that one that is gone is not looked for twice. */
const looked = new Set();
let reading = /** @type {Promise<void> | null} */ (null);

/** Read the list of sets. @returns {Promise<void>} */
export function readSets() {
  reading ??= get("/v1/datasets")
    .then(({ data }) => {
      sets.value = data;
    })
    .finally(() => {
      reading = null;
    });
  return reading;
}

/** Take in a set that has just been read. @param {Dataset} found */
export function putSet(found) {
  const others = (sets.peek() ?? []).filter(({ name }) => name !== found.name);
  sets.value = [...others, found].sort((one, other) => (one.name < other.name ? -1 : 1));
}

/** @param {string} dataset as specs name it, such as `letters@sha256:…` @returns {string} its name */
export const bareName = (dataset) => dataset.split("@")[0] ?? "";

/**
 * Return a data set; whoever asks in an effect or a view is told when it is known.
 *
 * @param {string} dataset as specs name it
 * @returns {Partial<Dataset> | undefined} undefined while it is not known, or if it is gone
 */
export function datasetOf(dataset) {
  const [name, digest] = dataset.split("@sha256:");
  const known = sets.value?.find((each) => each.name === name);
  if (known) return !digest || known.sha256 === digest ? known : undefined;
  if (name === MNIST.name) return MNIST;
  if (!looked.has(name)) {
    looked.add(name);
    readSets().catch(() => looked.delete(name));
  }
  return undefined;
}

/** @param {string} name of a data set @returns {string[]} the names of its classes, if they are known */
export const classesOf = (name) => datasetOf(name)?.classes ?? [];

/** @param {string} name of a data set @returns {number | undefined} how many inputs a network of it has */
export const inputsOf = (name) =>
  datasetOf(name)?.shape?.reduce((product, length) => product * length, 1);

/** Whether all classes are named by digits: letters can have the form of MNIST's digits, too. @param {{ input?: Dataset["input"], classes?: string[] | null }} set */
const showsDigits = ({ input, classes }) =>
  input === "digit" && (classes ?? []).every((name) => /^\d$/.test(name));

/** @param {{ input?: Dataset["input"], classes?: string[] | null }} set */
function nounFor(set) {
  if (set.input === "vector") return "row";
  return showsDigits(set) ? "digit" : "picture";
}

/** @param {string} name @returns {string} what rows of a data set are called in a sentence */
export const nounOf = (name) => nounFor(datasetOf(name) ?? {});

// --- What networks expect -----------------------------------------------------------------------

/** Names of classes by the digest of their data set, which belong together. @type {Signal<Map<string, string[]>>} */
const learned = signal(new Map());
/** Digests whose names have been asked for. */
const wanted = new Set();

/** Read the names that lists leave out. @param {Job} job */
function readNames({ id, data: { sha256 } }) {
  if (wanted.has(sha256)) return;
  wanted.add(sha256);
  get(`/v1/jobs/${id}`)
    .then(({ data }) => {
      learned.value = new Map(learned.peek()).set(sha256, data.classes);
    })
    .catch(() => wanted.delete(sha256));
}

/**
 * Return the names of the classes that a network tells apart; whoever asks in an effect or a view
 * is told when they are known.
 *
 * @param {Job} job
 * @returns {string[]} empty while they are not known
 */
export function classesOfJob(job) {
  const { sha256, classes } = job.data;
  if (classes) return classes;
  if (job.spec.dataset === MNIST.name) return MNIST.classes ?? [];
  const known = learned.value.get(sha256) ?? setOf(job)?.classes;
  if (!known) readNames(job);
  return known ?? [];
}

/** Return the data set of a job; undefined if it is gone, or not known yet. @param {Job} job @returns {Dataset | undefined} */
export const setOf = ({ spec, data }) =>
  sets.value?.find(({ name, sha256 }) => name === bareName(spec.dataset) && sha256 === data.sha256);

/** @param {Job} job @returns {boolean | null} whether its data set is still there; null while that is not known */
export function hasItsSet(job) {
  if (job.spec.dataset === MNIST.name) return true;
  datasetOf(job.spec.dataset); // has the sets read, if nothing else has
  return sets.value && setOf(job) !== undefined;
}

/** @param {Job} job @returns {readonly number[] | null} height and width of its pictures; null for rows of numbers */
export const formOfJob = ({ data: { shape } }) => (shape.length > 1 ? shape : null);

/** @param {Job | undefined} job @returns {string} what its rows are called in a sentence */
export const nounOfJob = (job) =>
  job ? nounFor({ input: job.data.input, classes: classesOfJob(job) }) : "digit";

/** What the network that is asked expects. */
const expected = computed(() => asked.value?.data ?? { input: "digit", invert: false });

/** Whether the network that is asked reads rows of a table, which can't be drawn. */
export const readsRows = computed(() => expected.value.input === "vector");

/** Whether what the network is asked about is brought into the form of MNIST's digits. */
export const isNormalizing = computed(() => expected.value.input === "digit");

/** Whether the network that is asked, if there is one, tells digits apart. */
export const readsDigits = computed(() => nounOfJob(asked.value) === "digit");

/** Whether it was taught with dark ink on white paper, so that it inverts what it is asked about. */
export const isOnWhite = computed(() => expected.value.input === "image" && expected.value.invert);
