/**
 * The classes of the network that is asked: their names, which of them are shown, and the form of
 * its pictures.
 *
 * @import { Answer, Job } from "../records.js"
 */
import { computed } from "@preact/signals";
import { classesOf, classesOfJob, formOfJob } from "../datasets.js";
import { answers, networks, rival } from "./ask.js";

/** So many classes have a bar each; of more, the most probable ones do. */
const MOST_BARS = 12;
const LIKELY = 10;
const SQUARE = [28, 28];

/** @param {Job} job @param {number} label @returns {string} the name of a class */
export const nameOf = (job, label) => classesOfJob(job)[label] ?? String(label);

/** @param {number} label @returns {string} the name of a class of the first network */
export const named = (label) =>
  networks.value[0] ? nameOf(networks.value[0].job, label) : String(label);

/** The first network's classes that are shown, in their order. */
export const shownClasses = computed(() => {
  const [network] = networks.value;
  const said = answers.value[0]?.prediction;
  const count = said?.probabilities.length ?? (network ? countOf(network.job) : LIKELY);
  const all = Array.from({ length: count }, (_, label) => label);
  if (count <= MOST_BARS || !said) return all.slice(0, MOST_BARS);
  const likely = all.sort((one, two) => said.probabilities[two] - said.probabilities[one]);
  const shown = new Set(likely.slice(0, LIKELY));
  if (rival.value !== null) shown.add(rival.value);
  return [...shown].sort((one, two) => one - two);
});

/** @param {Job} job @returns {number} how many classes its network tells apart */
export const countOf = (job) => job.data.class_count;

const form = computed(() => networks.value[0] && formOfJob(networks.value[0].job));
/** The form of the first network's pictures; news of its job changes nothing about it. */
export const shownForm = computed(() => form.value ?? SQUARE);

/** @param {Answer} answer @returns {string | undefined} the name of what it is about, if that is known */
export const truthOf = ({ ink: { strokes, sample } }) =>
  strokes.length || !sample
    ? undefined
    : (classesOf(sample.dataset)[sample.label] ?? `${sample.label}`);
