/**
 * What a network reads wrongly is kept on the server with the right answer, in a data set that
 * collects, until somebody trains on it.
 *
 * @import { Dataset, Job } from "../records.js"
 * @import { Ink } from "./ink.js"
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { base64Of, get, Problem, post, request } from "../api.js";
import { bareName, isOnWhite, putSet, readSets, sets } from "../datasets.js";
import { announce, complain, notify } from "../notices.js";
import { asked, draft, link } from "../state.js";
import { pictureOf } from "./pad.js";

const LONGEST_STEM = 48;
const WAIT_SECONDS = 20;

/** What the page is doing with the corrections, in words; "" while it does nothing. */
export const doing = signal("");

/**
 * The collection that takes corrections of the network that is asked. It is the first of its name
 * that is still open: those before it were trained on.
 */
export const collection = computed(() => {
  const learned = bareName(asked.value?.spec.dataset ?? "");
  const stem = `${learned.replace(/-corrections(-\d+)?$/, "").slice(0, LONGEST_STEM)}-corrections`;
  for (let number = 1; ; number++) {
    const name = number === 1 ? stem : `${stem}-${number}`;
    const found = sets.value?.find((each) => each.name === name);
    if (!found || isOpen(found)) return { name, count: found?.samples ?? 0 };
  }
});

/** @param {Dataset} set @returns {boolean} whether it takes further samples */
const isOpen = ({ state, samples }) =>
  state === "collecting" || (state === "failed" && Boolean(samples));

// Other tabs, and other people with the same key, correct too.
const readAgain = () => document.hidden || readSets().catch(complain);
document.addEventListener("visibilitychange", readAgain);
effect(() => {
  if (link.value === "live") untracked(readAgain);
});

/** Removes the notice by which the last correction can be taken back. */
let dismiss = () => {};

/** @param {string} words @param {() => Promise<void>} work */
async function busy(words, work) {
  if (doing.peek()) return;
  doing.value = words;
  try {
    await work();
  } catch (error) {
    complain(error);
  }
  doing.value = "";
}

/** @param {Ink} drawn @returns {Promise<Record<string, unknown>>} the picture as the API takes it */
async function imageOf(drawn) {
  if (drawn.sample && !drawn.strokes.length) {
    const { dataset, split, index } = drawn.sample;
    return { dataset, split, index };
  }
  return { base64: await base64Of(await pictureOf(drawn, isOnWhite.peek())) };
}

/** Keep a picture. @param {Ink} drawn @param {string} label the name of what it shows */
export const keep = (drawn, label) =>
  busy("Keeping it…", async () => {
    const image = await imageOf(drawn);
    const kept = await add({ label, image });
    putSet(kept);
    const isTested = image.split === "test" && image.dataset === asked.peek()?.spec.dataset;
    const words = isTested
      ? `Kept as ${label}. It is a test picture: a network that trains on it knows that answer.`
      : `Kept as ${label}.`;
    dismiss();
    dismiss = notify({ text: words, label: "Undo", action: () => undoLast(kept) });
    announce(words);
  });

/** @param {Record<string, unknown>} sample @returns {Promise<Dataset>} the set it is in */
async function add(sample) {
  try {
    return await post(`/v1/datasets/${collection.peek().name}/samples`, sample);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 409) throw error;
    await readSets(); // somebody has trained on the collection, and the next one is to be used
    return post(`/v1/datasets/${collection.peek().name}/samples`, sample);
  }
}

/** Take back a correction, unless there are later ones. @param {Pick<Dataset, "name" | "samples">} set as it was after the correction */
export const undoLast = ({ name, samples }) =>
  busy("Taking it back…", async () => {
    dismiss();
    await request("DELETE", `/v1/datasets/${name}/samples/${samples}`);
    await readSets();
    announce("The last correction is taken back");
  });

/** Add the corrections to what a network has learned, and offer to train it anew. @param {Job} job */
export const trainOnThem = (job) =>
  busy("Checking them…", async () => {
    dismiss(); // what is trained on can't be taken back
    const { name } = collection.peek();
    const base = job.spec.dataset;
    /** @type {Dataset} */
    let made = await post(`/v1/datasets/${name}/freeze`, { base });
    while (made.state === "queued" || made.state === "checking") {
      made = await get(`/v1/datasets/${name}?wait=${WAIT_SECONDS}`);
    }
    putSet(made);
    if (made.state !== "ready")
      throw new Error(made.reason?.message ?? `${name} is ${made.state}.`);
    draft.value = { ...job.spec, dataset: name, name: "" };
  });
