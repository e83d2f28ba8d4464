/**
 * What can be done with jobs; the list, the head and the keys all do it here.
 *
 * @import { Job } from "../records.js"
 */

import { signal } from "@preact/signals";
import { get, Problem, post, randomKey, request } from "../api.js";
import { fill } from "../epochs.js";
import { onKey } from "../keyboard.js";
import { complain, notify } from "../notices.js";
import * as state from "../state.js";
import { duration, title } from "../words.js";

const UNDO_MS = 6000;
/** Work that is worth a question before it is cancelled. */
const PRECIOUS_SECONDS = 60;

/** @typedef {"pause" | "resume" | "cancel" | "delete"} Action */

/** The states in which each action has an effect. @type {Record<Action, Job["state"][]>} */
const ALLOWED = {
  pause: ["queued", "running"],
  resume: ["paused", "pausing"],
  cancel: ["queued", "paused", "running", "pausing"],
  delete: ["queued", "paused", "succeeded", "failed", "cancelled"],
};
/** @param {Action} action @param {Job} job */
export const can = (action, job) => state.may("train") && ALLOWED[action].includes(job.state);

/** Whose name is being edited. */
export const renamed = signal(/** @type {string | null} */ (null));

// --- Submitting ---------------------------------------------------------------------------------

/** @param {Record<string, any>} spec @param {string} [key] makes repeating this harmless @returns {Promise<Job>} */
export async function submit(spec, key = randomKey()) {
  const job = await post("/v1/jobs", spec, { headers: { "Idempotency-Key": key } });
  state.put(job);
  return job;
}

/** Train the same again, with changes and another seed. @param {Job} job @param {Record<string, any>} [changes] */
export async function again(job, changes) {
  try {
    const fresh = await submit({ ...job.spec, seed: job.spec.seed + 1, ...changes });
    state.open(fresh.id);
    const compare = () => state.toggle(job.id);
    notify({ text: `Training “${title(fresh)}” again.`, label: "Compare both", action: compare });
  } catch (error) {
    complain(error);
  }
}

// --- Moving -------------------------------------------------------------------------------------

/** Pause, resume or cancel those of the jobs that allow it. @param {Action} action @param {Job[]} jobs */
export async function act(action, jobs) {
  const fitting = jobs.filter((job) => can(action, job));
  if (!fitting.length) return;
  if (action === "delete") return discard(fitting);
  if (action === "cancel" && !(await mayCancel(fitting))) return;
  try {
    if (fitting.length === 1) state.put(await post(`/v1/jobs/${fitting[0].id}/${action}`));
    else await actOnMany(action, fitting);
  } catch (error) {
    complain(error);
    // It was refused because the job is not in the state that the page believes it in.
    if (error instanceof Problem && error.status === 409) {
      await get(`/v1/jobs/${fitting[0].id}`).then((job) => state.put(job), complain);
    }
  }
}

/** @param {Action} action @param {Job[]} jobs @returns {Promise<Job[]>} those that stay as they are */
async function actOnMany(action, jobs) {
  const { data } = await post("/v1/jobs/actions", { action, jobs: jobs.map((job) => job.id) });
  const done = data.filter((/** @type {any} */ item) => !item.problem);
  const moved = done.map((/** @type {any} */ { id, state }) => ({ id, state }));
  if (action !== "delete") state.put(...moved);
  const refused = data.filter((/** @type {any} */ item) => item.problem);
  if (refused.length) complain(refused[0].problem.detail);
  const ids = refused.map((/** @type {any} */ { id }) => id);
  return jobs.filter((job) => ids.includes(job.id));
}

/** @param {Job[]} jobs @returns {Promise<boolean>} */
async function mayCancel(jobs) {
  const seconds = jobs.reduce((sum, job) => sum + work(job), 0);
  if (seconds <= PRECIOUS_SECONDS) return true;
  const what = jobs.length === 1 ? `“${title(jobs[0])}”` : `${jobs.length} jobs`;
  const done = `${duration(seconds)} of work ${jobs.length === 1 ? "is" : "are"} done`;
  return confirmed(
    `Cancel ${what}? ${done}. A cancelled job can't be resumed; its network can still be asked.`,
    "Cancel training",
    "Go on training",
  );
}

/** @param {Job} job @returns {number} the seconds that its epochs have taken */
const work = ({ progress, metrics }) => progress.epochs_done * (metrics.latest?.seconds ?? 0);

/** Ask a question. @param {string} question @param {string} yes @param {string} no @returns {Promise<boolean>} */
export function confirmed(question, yes, no) {
  const dialog = Object.assign(document.createElement("dialog"), { className: "question" });
  const words = Object.assign(document.createElement("p"), { textContent: question });
  const keep = Object.assign(document.createElement("button"), { textContent: no });
  const go = Object.assign(document.createElement("button"), { textContent: yes });
  words.id = "question";
  dialog.setAttribute("aria-labelledby", words.id);
  go.className = "primary";
  keep.onclick = () => dialog.close();
  go.onclick = () => dialog.close("yes");
  dialog.append(words, keep, go);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
  });
}

// --- Deleting -----------------------------------------------------------------------------------

/**
 * Take jobs out of the page, and delete them when nobody has undone that for a while.
 *
 * A page that is closed in between has asked for nothing, and so the jobs stay.
 *
 * @param {Job[]} jobs
 */
function discard(jobs) {
  const { follows, selected } = state;
  const before = { follows: follows.peek(), selected: selected.peek() };
  state.discard(jobs);
  if (!selected.peek().length) state.follow();
  const what = jobs.length === 1 ? `“${title(jobs[0])}”` : `${jobs.length} jobs`;
  const timer = setTimeout(() => discardNow(jobs), UNDO_MS);
  const close = notify({
    text: `Deleted ${what}.`,
    label: "Undo",
    action: () => {
      clearTimeout(timer);
      close();
      state.takeBack(jobs);
      state.restore(before.selected, before.follows);
      fill().catch(complain);
    },
  });
}

/** @param {Job[]} jobs */
async function discardNow(jobs) {
  try {
    if (jobs.length === 1) await request("DELETE", `/v1/jobs/${jobs[0].id}`);
    else state.takeBack(await actOnMany("delete", jobs));
  } catch (error) {
    complain(error);
    state.takeBack(jobs);
  }
}

// --- Naming -------------------------------------------------------------------------------------

/** @param {string} id @param {{ name: string, tags: string[] }} changed */
export async function rename(id, changed) {
  const headers = { "Content-Type": "application/merge-patch+json" };
  try {
    const answer = await request("PATCH", `/v1/jobs/${id}`, changed, { headers });
    state.put(await answer.json());
    renamed.value = null;
  } catch (error) {
    complain(error);
  }
}

// --- Keys ---------------------------------------------------------------------------------------

/** The job whose row has the focus, else the chosen ones. @returns {Job[]} */
function meant() {
  const row = /** @type {HTMLElement | null} */ (document.activeElement?.closest("li[data-id]"));
  const focused = row?.dataset.id && state.job(row.dataset.id);
  return focused ? [focused] : state.chosen.value;
}

function pauseOrResume() {
  const jobs = meant();
  return act(jobs.some((job) => can("pause", job)) ? "pause" : "resume", jobs);
}

onKey("p", "pause or resume", pauseOrResume);
onKey("c", "cancel", () => act("cancel", meant()));
onKey("a", "again with another seed", () => {
  const [job] = meant();
  if (job && state.may("train")) again(job);
});
onKey("Delete", "delete (can be undone for 6 s)", () => act("delete", meant()));
