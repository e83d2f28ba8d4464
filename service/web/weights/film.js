/**
 * The epoch whose network is shown and asked: a slider over the kept networks, and the film of them.
 *
 * It follows the newest network until it is touched, then it holds its epoch, whatever arrives, and
 * one click lets it follow again.
 *
 * @import { ReadonlySignal, Signal } from "@preact/signals"
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { get, ROOT, sleep } from "../api.js";
import { html } from "../html.js";
import { onKey } from "../keyboard.js";
import { complain } from "../notices.js";
import * as state from "../state.js";
import { percent } from "../words.js";
import { learned, readWeights } from "./layers.js";

const FRAME_MS = 1000 / 4.5;
/** How many networks are read before the film needs them. */
const AHEAD = 2;

/** @typedef {{epoch: number, test_accuracy: number | null}} Kept a network that can be named */

/** The kept networks of the job that is asked, oldest first. @type {Signal<Kept[]>} */
export const kept = signal([]);
const subject = computed(() => state.asked.value?.id ?? null);
const isGrowing = computed(() => !!state.asked.value && !state.isFinal(state.asked.value));
const newest = computed(() => state.asked.value?.checkpoint?.epochs_done ?? 0);
const latest = computed(() => state.asked.value?.metrics.latest);
/** Whether the leading job has weights; until then, the dark room asks another one. */
const isThere = computed(() => subject.value !== null && subject.value === state.lead.value?.id);
/** Where the slider can stand: at epochs, and at null for the newest network. @type {ReadonlySignal<(number | null)[]>} */
const stops = computed(() => [
  ...kept.value.map(({ epoch }) => epoch).filter((epoch) => epoch < newest.value),
  null,
]);
const place = computed(() => placeOf(state.at.value));

/** @param {number | null} at @returns {number} the place of the last stop that is not after it */
function placeOf(at) {
  const last = stops.value.length - 1;
  if (at === null || at >= newest.value) return last;
  const later = stops.value.findIndex((epoch) => epoch === null || epoch > at);
  return Math.max(0, later - 1);
}

// --- The kept networks --------------------------------------------------------------------------

let isReading = false;
let isOutdated = false;

/** One request at a time, and another one if there was news meanwhile. */
async function readKept() {
  isOutdated = true;
  if (isReading) return;
  isReading = true;
  while (isOutdated) {
    isOutdated = false;
    const id = subject.peek();
    // While a job trains, the list ends with its newest network, which is kept for a moment only.
    const end = isGrowing.peek() ? newest.peek() : Number.POSITIVE_INFINITY;
    const answer = id && (await get(`/v1/models/${id}/snapshots`).catch(complain));
    if (answer && id === subject.peek()) {
      take(answer.data.filter((/** @type {Kept} */ { epoch }) => epoch < end));
    }
  }
  isReading = false;
}

/** @param {Kept[]} found */
function take(found) {
  kept.value = found;
  const at = state.at.peek();
  const isThere = at === null || found.some(({ epoch }) => epoch === at);
  // The best network so far gives way to a better one, and an address may name any epoch.
  if (!isThere) state.at.value = stops.peek()[placeOf(at)] ?? null;
}

let known = "";
/** Whether a network that was the newest one at the last look may be among those that stay. */
let mayStay = false;
effect(() => {
  const [id, grows] = [subject.value, isGrowing.value];
  state.keptNetworks.value;
  const isNews = grows || known !== `${id}`;
  known = grows ? `${id} grows` : `${id}`;
  mayStay = grows;
  if (!id) kept.value = [];
  else if (isNews) untracked(readKept);
});
effect(() => {
  newest.value;
  if (mayStay) untracked(readKept);
  mayStay = false;
});

// --- Moving -------------------------------------------------------------------------------------

/** Hold the kept epoch that is not after `epoch`. @param {number} epoch */
export function showEpoch(epoch) {
  stop();
  state.at.value = stops.peek()[placeOf(epoch)] ?? null;
}

/** @param {number} by how many kept epochs */
function step(by) {
  stop();
  moveTo(place.peek() + by);
}

/** @param {number} wanted place */
function moveTo(wanted) {
  state.at.value = stops.peek()[Math.max(0, Math.min(stops.peek().length - 1, wanted))];
}

function followNewest() {
  stop();
  state.at.value = null;
}

// --- The film -----------------------------------------------------------------------------------

/** Counts films, so that one that was stopped does not go on. */
let showing = 0;
const isPlaying = signal(false);

function stop() {
  showing++;
  isPlaying.value = false;
}

effect(() => {
  subject.value; // another job has another film
  untracked(stop);
});

const isAtTheEnd = () => place.peek() === stops.peek().length - 1;

function playOrStop() {
  if (isPlaying.peek()) return stop();
  const next = isAtTheEnd() ? 0 : place.peek() + 1;
  // Who wants no motion turns the pages by hand.
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return moveTo(next);
  play(next);
}

/** @param {number} first place */
async function play(first) {
  stop();
  isPlaying.value = true;
  const film = ++showing;
  moveTo(first);
  while (film === showing && !isAtTheEnd()) {
    const next = place.peek() + 1;
    for (let ahead = 1; ahead <= AHEAD; ahead++) readAhead(next + ahead);
    await Promise.all([sleep(FRAME_MS), readAhead(next)]);
    if (film === showing) moveTo(next);
  }
  if (film === showing) stop();
}

/** @param {number} wanted place */
async function readAhead(wanted) {
  const epoch = stops.peek()[wanted];
  if (epoch == null) return;
  const ref = `${subject.peek()}@${epoch}`;
  const weights = { ref, key: ref, layer: 1, offset: 0, learned: learned.peek() };
  await readWeights(weights).catch(() => {}); // the view that shows it tells of the error
}

// --- The slider ---------------------------------------------------------------------------------

const recorded = signal(/** @type {string | null} */ (null));

async function save() {
  const job = state.asked.peek();
  if (!job || recorded.peek() !== null) return;
  recorded.value = "Recording…";
  try {
    const { saveFilm } = await import("./recording.js");
    const epochs = [...kept.peek().map(({ epoch }) => epoch)];
    await saveFilm(job, epochs, (done) => {
      recorded.value = `Recording ${done} of ${epochs.length}`;
    });
  } catch (error) {
    complain(error);
  }
  recorded.value = null;
}

/** @returns {string} the epoch that is shown, in words */
function epochWords() {
  const at = state.at.value;
  if (at === 0) return "before training";
  const shown = at ?? newest.value;
  const accuracy =
    latest.value?.epoch === shown
      ? latest.value.test_accuracy
      : kept.value.find(({ epoch }) => epoch === shown)?.test_accuracy;
  const reached = accuracy == null ? "" : ` · ${percent(accuracy)}`;
  return `epoch ${shown}${reached}`;
}

export function EpochSlider() {
  if (!isThere.value) return null;
  const last = stops.value.length - 1;
  const move = (/** @type {any} */ event) => {
    stop();
    moveTo(event.target.valueAsNumber);
  };
  return html`<div class="epochs" role="group" aria-label="Epoch of the network that is shown and asked">
    <button onClick=${playOrStop} disabled=${last === 0} aria-pressed=${isPlaying.value} title="Play the film of the kept epochs (space)">
      <span aria-hidden="true">${isPlaying.value ? "❚❚" : "▶"}</span> film
    </button>
    <input type="range" min="0" max=${Math.max(1, last)} value=${last === 0 ? 1 : place.value} disabled=${last === 0}
      onInput=${move} aria-label="Epoch" aria-valuetext=${epochWords()} title="Earlier and later epochs ( [ and ] )" />
    <output>${epochWords()}</output>
    <button aria-pressed=${state.at.value === null} onClick=${followNewest} title="Follow the newest network">newest</button>
    <${Menu} />
  </div>`;
}

/** @param {FocusEvent} event */
function closeMenu(event) {
  const menu = /** @type {HTMLDetailsElement} */ (event.currentTarget);
  if (!menu.contains(/** @type {Node | null} */ (event.relatedTarget))) menu.open = false;
}

function Menu() {
  return html`<details class="film-menu" onFocusOut=${closeMenu}>
    <summary class="button ghost" aria-label="More about the film" title="More">⋯</summary>
    <div>
      <button class="ghost" onClick=${save} disabled=${recorded.value !== null || kept.value.length < 2}>${recorded.value ?? "Save film"}</button>
      <a class="button ghost" href=${`${ROOT}/v1/models/${subject.value}/film.webp?layer=1&units=64&seconds=6`} download>Film as WebP, from the API</a>
    </div>
  </details>`;
}

onKey("[", "earlier epoch", () => step(-1));
onKey("]", "later epoch", () => step(1));
onKey(" ", "film", playOrStop);
