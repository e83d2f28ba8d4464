/**
 * What the page knows about jobs, and what the user has chosen.
 *
 * Each piece of state is written here or by the one module that exports it; views only read it.
 * Every job is a signal of its own, so that its news renders its own row and nothing else.
 *
 * @import { Signal } from "@preact/signals"
 * @import { Job, Link, State, System } from "./records.js"
 */
import { batch, computed, signal } from "@preact/signals";

/** @type {State[]} */
export const FINAL = ["succeeded", "failed", "cancelled"];
/** @param {Job} job */
export const isFinal = (job) => FINAL.includes(job.state);

// --- Jobs ---------------------------------------------------------------------------------------

/** @type {Map<string, Signal<Job>>} */
const jobs = new Map();
/** Ids of all known jobs, newest first. @type {Signal<string[]>} */
export const ids = signal([]);

/**
 * Return a job; whoever asks in an effect or a view is told when it changes.
 *
 * @param {string} id
 * @returns {Job | undefined}
 */
export function job(id) {
  const known = jobs.get(id);
  if (known) return known.value;
  ids.value; // tells the caller when the job arrives
  return undefined;
}

/** Ids of jobs that are about to be deleted, of which no news is wanted. @type {Set<string>} */
const discarded = new Set();

/** Take in whole jobs, or changed fields of known ones. @param {(Partial<Job> & {id: string})[]} found */
export function put(...found) {
  batch(() => {
    const wanted = found.filter((record) => !discarded.has(record.id));
    const fresh = wanted.filter((record) => !jobs.has(record.id));
    for (const record of wanted) {
      const known = jobs.get(record.id);
      if (known) known.value = { ...known.value, ...record };
      else jobs.set(record.id, signal(/** @type {Job} */ (record)));
    }
    // Ids are UUIDv7, so their order is that of submission.
    if (fresh.length) ids.value = [...jobs.keys()].sort().reverse();
  });
}

/** Take jobs out before they are deleted. @param {Job[]} unwanted */
export function discard(unwanted) {
  for (const { id } of unwanted) {
    discarded.add(id);
    remove(id);
  }
}

/** Take discarded jobs in again. @param {Job[]} wanted */
export function takeBack(wanted) {
  for (const { id } of wanted) discarded.delete(id);
  put(...wanted);
}

/** @param {string} id */
export function remove(id) {
  if (!jobs.delete(id)) return;
  batch(() => {
    ids.value = ids.value.filter((other) => other !== id);
    selected.value = selected.value.filter((other) => other !== id);
  });
}

// --- The selection ------------------------------------------------------------------------------

/** Ids of the chosen jobs; their order is that of the colours. @type {Signal<string[]>} */
export const selected = signal([]);
/** Whether the page selects what runs by itself. It does until the user chooses. */
export const follows = signal(true);
/** The job under the pointer, in the list or in a chart. @type {Signal<string | null>} */
export const hovered = signal(null);
/** The epoch whose network is shown and asked; null for the newest one. @type {Signal<number | null>} */
export const at = signal(null);
/** The tab under the curves. */
export const tab = signal("weights");
/** The part that a phone shows: `jobs`, `lab` or `room`. */
export const place = signal("lab");

/**
 * The spec in the dialog for a new job, which is open unless this is null.
 *
 * @type {Signal<Record<string, any> | null>}
 */
export const draft = signal(null);

/** Open the dialog for a new job, with the spec of another one perhaps. @param {Job} [model] */
export function change(model) {
  draft.value = model ? { ...model.spec } : {};
}

export const chosen = computed(() =>
  selected.value.map(job).filter((found) => found !== undefined),
);
/** The job whose weights are shown. */
export const lead = computed(() => chosen.value[0]);
/** The colour of each chosen job; from the seventh on the hues repeat, and markers tell them apart. */
export const tints = computed(
  () => new Map(selected.value.map((id, rank) => [id, `var(--c${(rank % 6) + 1})`])),
);

/** Show one job alone. @param {string} id */
export function open(id) {
  batch(() => {
    follows.value = false;
    selected.value = [id];
    at.value = null;
    place.value = "lab";
  });
}

/** Add a job to the comparison, or take it out. @param {string} id */
export function toggle(id) {
  const without = selected.value.filter((other) => other !== id);
  batch(() => {
    follows.value = false;
    selected.value = without.length < selected.value.length ? without : [...selected.value, id];
  });
}

/** Choose again what was chosen before. @param {string[]} before @param {boolean} follow */
export function restore(before, follow) {
  batch(() => {
    follows.value = follow;
    selected.value = before.filter((id) => jobs.has(id));
  });
}

/** Follow what runs, as the page does before the user chooses anything. */
export function follow() {
  batch(() => {
    follows.value = true;
    at.value = null;
  });
  chooseByItself();
}

/** Choose the running jobs, else the newest one that has been measured. */
export function chooseByItself() {
  if (!follows.value) return;
  const known = ids.peek().map((id) => /** @type {Signal<Job>} */ (jobs.get(id)).peek());
  const running = known.filter((each) => each.state === "running").slice(0, 6);
  const measured = known.find((each) => each.metrics.latest) ?? known[0];
  selected.value = running.length ? running.map((each) => each.id) : measured ? [measured.id] : [];
}

// --- The network that is shown and asked --------------------------------------------------------

/** The job whose network is asked: a chosen one, or the newest one if none of them has weights yet. */
export const asked = computed(() => {
  const withWeights = chosen.value.find((each) => each.checkpoint);
  if (withWeights) return withWeights;
  const other = ids.value.find((id) => job(id)?.checkpoint);
  return other === undefined ? undefined : job(other);
});
/** Its name in addresses, `job_…` or `job_…@12`; null while there is no network. */
export const ref = computed(() => {
  if (!asked.value) return null;
  return at.value === null ? asked.value.id : `${asked.value.id}@${at.value}`;
});
/** Changes whenever other weights are to be shown: the reference and the checkpoint's digest. */
export const weightsKey = computed(() => {
  if (ref.value === null) return null;
  return at.value === null ? `${ref.value} ${asked.value?.checkpoint?.sha256}` : ref.value;
});

/** Counts the networks of epochs that were kept while the page listened. */
export const keptNetworks = signal(0);

// --- The server ---------------------------------------------------------------------------------

/** What the server says about itself. @type {Signal<System | null>} */
export const system = signal(null);
/** Whether news arrives. */
export const link = signal(/** @type {Link} */ ("connecting"));
/** Whether the server has newer files of this page. */
export const outdated = signal(false);

/** @param {"read" | "predict" | "train"} scope @returns {boolean} whether the user may do it */
export function may(scope) {
  if (!system.value) return true; // nobody has asked the server yet
  const { scopes } = system.value.session;
  return scopes.includes(scope) || scopes.includes("admin");
}
