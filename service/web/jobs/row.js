/**
 * A row of the list.
 *
 * It is told about its own job alone, and decides for itself whether it is looked for: with hundreds
 * of jobs, news renders one row.
 *
 * @import { Signal } from "@preact/signals"
 * @import { RefObject } from "preact"
 * @import { Job } from "../records.js"
 */

import { batch, computed, signal, untracked, useComputed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get } from "../api.js";
import { markers } from "../curves/charts.js";
import { epochs } from "../epochs.js";
import { html } from "../html.js";
import { complain } from "../notices.js";
import { loadOlder } from "../reading.js";
import * as state from "../state.js";
import { duration, ordinal, percent, shape, telling, title } from "../words.js";
import { useShown } from "./shown.js";
import "./actions.js"; // the keys for what can be done with a row

// --- The row ---------------------------------------------------------------------------------------

const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      const { id } = /** @type {HTMLElement} */ (target).dataset;
      if (isIntersecting && id) wantSpark(id);
      else if (isIntersecting) loadOlder().catch(complain);
    }
  },
  { rootMargin: "200px" },
);

/** Watch an element for as long as it is there. @returns {RefObject<any>} */
function useObserved() {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const watched = element.current;
    if (!watched) return undefined;
    observer.observe(watched);
    return () => observer.unobserve(watched);
  }, []);
  return element;
}

/** Places in the queue, which is served in the order of submission. */
const queue = computed(() => {
  const { jobs, session } = state.system.value ?? {};
  const ids = state.ids.value;
  const isQueued = (/** @type {string} */ id) => state.job(id)?.state === "queued";
  // The numbers are about one's own jobs only, and there may be others' in between.
  if (session?.owner !== null) return new Map();
  const queued = untracked(() => ids.filter(isQueued));
  return new Map(queued.map((id, behind) => [id, (jobs?.queued ?? 0) - behind]));
});

/** @param {Job} job @param {number | null | undefined} position in the queue @returns {string} */
function stateWords(job, position) {
  const { progress, reason } = job;
  const { epochs_done, epochs, eta_seconds } = progress;
  /** @type {Record<Job["state"], () => string>} */
  const words = {
    queued: () => (position && position > 0 ? `queued, ${ordinal(position)}` : "queued"),
    running: () => [`${epochs_done}/${epochs}`, duration(eta_seconds)].filter(Boolean).join(" · "),
    pausing: () => "saving a checkpoint…",
    cancelling: () => "saving a checkpoint…",
    paused: () => `paused after epoch ${epochs_done}`,
    succeeded: () => "",
    failed: () => reason?.message ?? "",
    cancelled: () => `cancelled after epoch ${epochs_done}`,
  };
  const lost = job.lost_workers > 0 && !state.isFinal(job) ? `attempt ${job.attempt} · ` : "";
  return lost + words[job.state]();
}

/** Open the menu of a job. @param {MouseEvent} event @param {string} id */
export async function openMenu(event, id) {
  const opener = /** @type {HTMLElement} */ (event.currentTarget);
  const { showMenu } = await import("./menu.js");
  showMenu(opener, id);
}

/** @param {Job} job */
function scoreOf(job) {
  const told = telling(job);
  return told && job.state !== "failed" ? percent(told.test_accuracy) : job.state;
}

/** @param {Job} job @returns {string} all that its row shows of it besides the small curve */
const shownOf = (job) =>
  JSON.stringify([
    title(job),
    shape(job),
    scoreOf(job),
    stateWords(job, job.queue_position),
    job.state,
    job.progress.fraction,
  ]);

/** @param {{ id: string, isFound: (job: Job) => boolean }} props */
export function Row({ id, isFound }) {
  const element = useObserved();
  const isHidden = useComputed(() => {
    const job = state.job(id);
    return !job || !isFound(job);
  });
  const tint = useComputed(() => state.tints.value.get(id));
  const isMarked = useComputed(() => state.hovered.value === id);
  const position = useComputed(() => queue.value.get(id));
  const path = useShown(id, sparkPath);
  // The row is rendered again when something else is shown than the small curve, which changes most often.
  useShown(id, shownOf).value;
  const job = untracked(() => state.job(id));
  const wasAlive = useRef(job && !state.isFinal(job)).current;
  if (!job) return null;
  const words = stateWords(job, position.value ?? job.queue_position);
  const { spec, progress } = job;
  const hasEnded = state.isFinal(job);
  const isFresh = wasAlive && job.state === "succeeded";
  const classes = [
    "job",
    job.state,
    tint.value && "chosen",
    isMarked.value && "marked",
    isFresh && "fresh",
  ];
  const hover = (/** @type {string | null} */ hovered) => () => {
    state.hovered.value = hovered;
  };
  return html`<li ref=${element} class=${classes.filter(Boolean).join(" ")} data-id=${id} hidden=${isHidden.value}
      style=${{ "--tint": tint.value ?? "transparent" }} onPointerEnter=${hover(id)} onPointerLeave=${hover(null)}>
    <input type="checkbox" checked=${tint.value !== undefined} onChange=${() => state.toggle(id)} aria-label=${`Compare ${title(job)}`} />
    <button class="open" onClick=${() => state.open(id)}>${title(job)}<${Marker} id=${id} /></button>
    <span class="score">${scoreOf(job)}</span>
    <button class="ghost more" aria-haspopup="menu" aria-label=${`More for ${title(job)}`} onClick=${(/** @type {MouseEvent} */ event) => openMenu(event, id)}>⋯</button>
    <span class="shape mono">${shape(job)}${spec.hidden.length ? ` ${spec.activation}` : ""}</span>
    <svg class="spark" viewBox="0 0 560 180" aria-hidden="true"><path d=${path} /></svg>
    ${
      job.state !== "succeeded" &&
      html`<span class="now" title=${words}>
      ${!hasEnded && html`<progress value=${progress.fraction} max="1" aria-label="Progress"></progress>`}
      <span>${words}</span>
    </span>`
    }
  </li>`;
}

/** The sign on the curve of a job from the seventh on, whose hue is not its own. @param {{ id: string }} props */
function Marker({ id }) {
  const marker = useComputed(() => markers.value.get(id) ?? "");
  return marker.value && html` <i>${marker.value}</i>`;
}

/** Reads older jobs whenever the end of the list comes into view. */
export function Older() {
  const element = useObserved();
  return html`<p ref=${element} class="hush older">Reading older jobs…</p>`;
}

// --- The small curve ----------------------------------------------------------------------------

// Tenths of a pixel, so that the points are whole numbers, which become texts much faster.
const WIDTH = 560;
const HEIGHT = 180;
const EDGE = 15;
const POINTS = 16;
const MOST_POINTS = 64;
const TOGETHER_MS = 60;
const MOST_JOBS = 64;

/** @typedef {{ epoch: number[], test_loss: number[] }} Points */

/** @type {Map<string, Signal<Points | null>>} */
const known = new Map();
/** @type {Set<string>} */
const wanted = new Set();
let isAsking = false;

/** @param {string} id @returns {Signal<Points | null>} */
function spark(id) {
  const found = known.get(id) ?? signal(/** @type {Points | null} */ (null));
  known.set(id, found);
  return found;
}

/** A row has come into view. @param {string} id */
function wantSpark(id) {
  if (spark(id).peek() || !state.job(id)?.metrics.latest) return;
  wanted.add(id);
  askSoon();
}

function askSoon() {
  if (isAsking) return;
  isAsking = true;
  setTimeout(() => ask().catch(complain), TOGETHER_MS);
}

async function ask() {
  const ids = [...wanted].slice(0, MOST_JOBS);
  for (const id of ids) wanted.delete(id);
  isAsking = false;
  const { data } = await get(`/v1/epochs?jobs=${ids.join(",")}&points=${POINTS}`);
  batch(() => {
    for (const id of ids) spark(id).value = data[id] ?? { epoch: [], test_loss: [] };
  });
  if (wanted.size) askSoon();
}

/** Append the latest epoch, which arrives with the job itself. @param {Points} points @param {Job} job */
function grow({ epoch, test_loss }, { metrics: { latest } }) {
  if (!latest || latest.epoch <= (epoch.at(-1) ?? 0)) return;
  epoch.push(latest.epoch);
  test_loss.push(latest.test_loss);
  if (epoch.length <= MOST_POINTS) return;
  const isKept = (/** @type {unknown} */ _, /** @type {number} */ index) => index % 2 === 0;
  epoch.splice(0, epoch.length, ...epoch.filter(isKept));
  test_loss.splice(0, test_loss.length, ...test_loss.filter(isKept));
}

/** @param {Job} job @returns {string} the path of its curve in a box of 560 x 180 */
function sparkPath(job) {
  const few = spark(job.id).value;
  if (few) grow(few, job);
  const points = few ?? epochs.get(job.id);
  if (!points?.epoch.length) return "";
  const end = points.epoch.length - 1;
  const step = Math.ceil((end + 1) / MOST_POINTS);
  const indices = Array.from({ length: Math.ceil(end / step) }, (_, n) => n * step);
  indices.push(end);
  const logs = indices.map((index) => Math.log(Math.max(points.test_loss[index], 1e-6)));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const last = Math.max(points.epoch[end], 2);
  const path = indices.map((index, n) => {
    const x = EDGE + ((points.epoch[index] - 1) / (last - 1)) * (WIDTH - 2 * EDGE);
    const y = EDGE + ((high - logs[n]) / (high - low || 1)) * (HEIGHT - 2 * EDGE);
    return `${Math.round(x)} ${Math.round(y)}`;
  });
  // A line of one point is drawn as a dot, by its round ends.
  return `M${path[0]}L${path.slice(path.length > 1 ? 1 : 0).join(" ")}`;
}
