/**
 * The middle of the page: what happens in the chosen jobs, and what they have learned.
 *
 * @import { Job } from "../records.js"
 */
import { computed } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Charts } from "../curves/charts.js";
import { drawn, secondsOf } from "../epochs.js";
import { html, lazy } from "../html.js";
import { act, again, can, renamed } from "../jobs/actions.js";
import { openMenu } from "../jobs/row.js";
import { onKey } from "../keyboard.js";
import * as state from "../state.js";
import { duration, percent, shape, telling, title } from "../words.js";

const Compare = lazy(() => import("./compare.js"), "Compare");
const Data = lazy(() => import("./datasets.js"), "Data");
const EpochSlider = lazy(() => import("../weights/film.js"), "EpochSlider");
const Mistakes = lazy(() => import("./evaluation.js"), "Mistakes");
const Rename = lazy(() => import("../jobs/rename.js"), "Rename");
const Spec = lazy(() => import("./spec.js"), "Spec");
const Weights = lazy(() => import("../weights/weights.js"), "Weights");
const TABS = /** @type {const} */ ([
  ["weights", "What it learned", "w", Weights],
  ["mistakes", "Mistakes", "m", Mistakes],
  ["data", "Data", "d", Data],
  ["spec", "Spec and files", "s", Spec],
]);
const TABLE_MOST = 320;
/** Reasons of jobs that succeeded which say what to change in the spec. */
const ADVISES = new Set(["learned_nothing", "learned_little"]);

// --- The head -----------------------------------------------------------------------------------

/** @param {Job} job @returns {string} how it learns, in one line */
function specLine(job) {
  const {
    hidden,
    activation,
    learning_rate,
    batch_size,
    seed,
    optimizer,
    schedule,
    l2,
    augmentation,
    class_weights,
  } = job.spec;
  const parts = [
    `${shape(job)} ${hidden.length ? activation : "linear"}`,
    `rate ${learning_rate}`,
    `batch ${batch_size}`,
    optimizer.type !== "sgd" && optimizer.type,
    optimizer.momentum && `momentum ${optimizer.momentum}`,
    schedule === "cosine" && schedule,
    l2 && `l2 ${l2}`,
    augmentation && "augmented",
    class_weights && "weighted classes",
    `seed ${seed}`,
  ];
  return parts.filter(Boolean).join(" · ");
}

/** @param {{ job: Job }} props */
function Name({ job }) {
  if (renamed.value === job.id) return html`<${Rename} job=${job} />`;
  return html`<h2>${title(job)}</h2>${job.spec.tags.map((tag) => html`<span class="tag">${tag}</span>`)}`;
}

/** @param {{ job: Job }} props */
function Acts({ job }) {
  const button = (
    /** @type {"pause" | "resume" | "cancel"} */ action,
    /** @type {string} */ label,
  ) => can(action, job) && html`<button onClick=${() => act(action, [job])}>${label}</button>`;
  return html`<div class="acts">
    ${button("resume", "Resume")}${button("pause", "Pause")}${button("cancel", "Cancel")}
    ${state.may("train") && html`<button onClick=${() => again(job)} title="The same with another seed (a)">Again</button>`}
    <button aria-haspopup="menu" aria-label=${`More for ${title(job)}, in the head`} onClick=${(/** @type {MouseEvent} */ event) => openMenu(event, job.id)}>⋯</button>
  </div>`;
}

/** What the job is doing, in a line that is always there, so that nothing below it moves. @param {{ job: Job }} props */
function Standing({ job }) {
  const { state: now, reason, progress, attempt, lost_workers } = job;
  // The epoch at the time of the loss; the checkpoints after it are not what is meant.
  const resumedAt = useMemo(() => job.checkpoint?.epochs_done ?? 0, [job.id, attempt]);
  const epoch = `epoch ${progress.epochs_done}`;
  /** @type {Record<Job["state"], string>} */
  const words = {
    queued:
      reason?.code === "needs_memory"
        ? reason.message
        : lost_workers
          ? `The worker was lost; it goes on from ${epoch}.`
          : "Starts when a worker is free.",
    running: lost_workers
      ? `Attempt ${attempt}: the worker was lost, it went on from epoch ${resumedAt}.`
      : "Training.",
    pausing: "Saving a checkpoint…",
    cancelling: "Saving a checkpoint…",
    paused: `Paused after ${epoch}; nothing is lost.`,
    succeeded: reason && ADVISES.has(reason.code) ? reason.message : "Succeeded.",
    failed: reason?.message ?? "",
    cancelled: job.checkpoint
      ? `Cancelled after ${epoch}; its network can be asked.`
      : "Cancelled before its first checkpoint.",
  };
  return html`<p class=${`standing ${now}`}>
    <span>${now === "failed" && html`<b>Failed.</b> `}${words[now]}</span>
    ${job.checkpoint && html`<button class="small to-room" onClick=${goToRoom}>Draw one for it</button>`}
    ${!job.bit_exact && html`<span class="tag" title="The job went on with another build or kind of processor, so its numbers may differ from those of an undisturbed run.">not bit-exact: it changed its machine</span>`}
    ${!state.may("train") && html`<span class="tag">You may look, not train (${whose()})</span>`}
  </p>`;
}

/** The owner and the scopes of the key with which the page was opened. */
function whose() {
  const { owner = "none", scopes = [] } = state.system.value?.session ?? {};
  return `key: ${owner}, ${scopes.join(", ")}`;
}

function goToRoom() {
  state.place.value = "room";
}

/** @param {Job} job @returns {string} how long it has trained, or has still to train */
function timeOf(job) {
  if (job.state === "running") return duration(job.progress.eta_seconds) || "…";
  if (!state.isFinal(job)) return "–";
  return duration(secondsOf(job.id)) || "–";
}

/** @param {{ job: Job }} props */
function Facts({ job }) {
  drawn.value; // tells when the columns have been read
  const { metrics, progress } = job;
  const [told, latest] = [telling(job), metrics.latest];
  return html`<dl class="facts">
    <div><dt>${job.learned === false ? "last" : "best"} test accuracy</dt><dd>${percent(told?.test_accuracy)} ${told && html`<small>epoch ${told.epoch}</small>`}</dd></div>
    <div><dt>test loss</dt><dd>${latest?.test_loss.toFixed(4) ?? "–"}</dd></div>
    <div><dt>epoch</dt><dd>${progress.epochs_done} <small>of ${progress.epochs}</small></dd></div>
    <div><dt>${state.isFinal(job) ? "trained in" : "time left"}</dt><dd>${timeOf(job)}</dd></div>
  </dl>`;
}

/** @param {{ job: Job }} props */
function Head({ job }) {
  return html`<div class="head"><${Name} job=${job} /><${Acts} job=${job} /></div>
    <p class="mono hush">${specLine(job)}</p>
    <${Standing} job=${job} /><${Facts} job=${job} />`;
}

// --- Curves -------------------------------------------------------------------------------------

/** @param {{ job: Job }} props */
function CurvesOf({ job }) {
  if (job.metrics.latest || !state.isFinal(job)) return html`<${Charts} />`;
  const rate = job.spec.optimizer.type === "adamw" ? 0.001 : 0.1;
  return html`<div class="empty small">
    <p>It ended before its first epoch, so there is nothing to draw.</p>
    ${state.may("train") && job.state === "failed" && html`<button class="primary" onClick=${() => again(job, { learning_rate: rate, seed: job.spec.seed })}>Again with learning rate ${rate}</button>`}
  </div>`;
}

// --- Tabs ---------------------------------------------------------------------------------------

/** @param {{ hides: (part: string) => boolean }} props */
function Tabs({ hides }) {
  const shown = TABS.filter(([name]) => !hides(name));
  const [chosen, , , Panel] = shown.find(([name]) => name === state.tab.value) ?? shown[0] ?? [];
  useEffect(() => {
    // What is hidden or unknown gives way to what is seen.
    const isShown = shown.some(([name]) => name === state.tab.peek());
    if (chosen && !isShown) state.tab.value = chosen;
  });
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    const now = shown.findIndex(([name]) => name === chosen);
    /** @type {Record<string, number>} */
    const targets = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: -1 };
    const next = shown.at(targets[event.key] % shown.length);
    if (!(event.key in targets) || !next) return;
    event.preventDefault();
    choose(next[0]);
    document.getElementById(`tab-${next[0]}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label="About the network" onKeyDown=${onKeyDown}>
      ${shown.map(
        ([
          name,
          label,
          key,
        ]) => html`<button role="tab" id=${`tab-${name}`} aria-selected=${name === chosen} aria-controls="panel"
          tabindex=${name === chosen ? 0 : -1} title=${`${label} (${key})`} onClick=${() => choose(name)}>${label}</button>`,
      )}
    </div>
    <div class="panel" role="tabpanel" id="panel" aria-labelledby=${`tab-${chosen}`}>${Panel && html`<${Panel} key=${chosen} />`}</div>`;
}

const choose = (/** @type {string} */ name) => {
  state.tab.value = name;
};

for (const [name, label, key] of TABS) onKey(key, label.toLowerCase(), () => choose(name));

// --- All of it ----------------------------------------------------------------------------------

/** The height of a table, so that nothing moves when it comes. @param {number} jobs */
const compareHeight = (jobs) => `${Math.min(TABLE_MOST, 28 + 35 * jobs)}px`;

/** One job: what it is and does. */
function One() {
  const job = state.lead.value;
  return job && html`<${Head} job=${job} /><${CurvesOf} job=${job} />`;
}

/** Whose network is shown under the curves of several jobs. */
function Lead() {
  const job = state.lead.value;
  if (!job) return null;
  return html`<p class="legend lead"><span class="hush">The slider and the tabs show</span><span style=${{ "--tint": state.tints.value.get(job.id) }}><i></i>${title(job)}</span></p>`;
}

/** How many jobs are shown. News of them renders the parts that show it. */
const countOfChosen = computed(() => state.chosen.value.length);

/** @param {{ hides: (part: string) => boolean }} props */
export function Lab({ hides }) {
  const count = countOfChosen.value;
  if (!count) return null;
  return html`${
    count > 1
      ? html`<h2>${count} jobs, side by side</h2>
      <div class="compared" style=${{ minHeight: compareHeight(count) }}><${Compare} /></div>
      <${Charts} />
      <${Lead} />`
      : html`<${One} />`
  }
    <div class="slider"><${EpochSlider} /></div><${Tabs} hides=${hides} />`;
}
