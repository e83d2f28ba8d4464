/**
 * The list of jobs: found, filtered, and read as far as one scrolls.
 *
 * @import { Job } from "../records.js"
 */
import { effect, signal } from "@preact/signals";
import { get, ROOT } from "../api.js";
import { html, lazy } from "../html.js";
import { onKey } from "../keyboard.js";
import { complain } from "../notices.js";
import { readUpTo } from "../reading.js";
import * as state from "../state.js";
import { shape } from "../words.js";

const Bulk = lazy(() => import("./bulk.js"), "Bulk");
const Older = lazy(() => import("./row.js"), "Older");
const Row = lazy(() => import("./row.js"), "Row");

// --- Finding ------------------------------------------------------------------------------------

const ASK_AFTER_MS = 250;
const BEST = 10;
/** @type {Job["state"][]} */
const WITH_WORKER = ["running", "pausing", "cancelling"];
/** @typedef {"all" | "running" | "failed" | "best"} Filter */

const find = signal("");
const filter = signal(/** @type {Filter} */ ("all"));
/** Ids of the most accurate jobs, while they are asked for. */
const best = signal(/** @type {string[]} */ ([]));

/** @param {Job} job */
function isFound(job) {
  if (filter.value === "running" && !WITH_WORKER.includes(job.state)) return false;
  if (filter.value === "failed" && job.state !== "failed") return false;
  const { spec } = job;
  // The same labels as those in which the server looks.
  const labels = [
    spec.name,
    spec.preset ?? "",
    shape(job),
    spec.activation,
    job.state,
    ...spec.tags,
  ];
  const text = [job.id, ...labels].join(" ");
  const words = find.value.toLowerCase().split(/\s+/);
  return words.every((word) => text.toLowerCase().includes(word));
}

/** Ask the server too, as long as it has jobs that the page has not read. */
async function ask() {
  if (!readUpTo.peek()) return;
  const query = new URLSearchParams({ limit: "100" });
  if (find.peek()) query.set("q", find.peek());
  const states =
    filter.peek() === "running" ? WITH_WORKER : filter.peek() === "failed" ? ["failed"] : [];
  for (const each of states) query.append("state", each);
  const { data } = await get(`/v1/jobs?${query}`);
  state.put(...data);
}

async function askForBest() {
  if (readUpTo.peek()) state.put(...(await get(`/v1/jobs?sort=-best&limit=${BEST}`)).data);
  const accuracy = (/** @type {string} */ id) => state.job(id)?.metrics.best?.test_accuracy ?? 0;
  const known = state.ids.peek().filter(accuracy);
  best.value = known.sort((a, b) => accuracy(b) - accuracy(a)).slice(0, BEST);
}

let asking = 0;
effect(() => {
  const isAsked = find.value !== "" || filter.value !== "all";
  clearTimeout(asking);
  if (!isAsked) return;
  asking = setTimeout(
    () => (filter.peek() === "best" ? askForBest() : ask()).catch(complain),
    ASK_AFTER_MS,
  );
});

/** @param {{ canAdd: boolean }} props */
function Find({ canAdd }) {
  const onInput = (/** @type {any} */ event) => {
    find.value = event.target.value;
  };
  return html`<div class="find">
    <input type="search" maxlength="200" placeholder="Find a job ( / )" aria-label="Find a job by name, shape, tag or state"
      value=${find.value} onInput=${onInput} />
    ${canAdd && html`<button class="primary" onClick=${() => state.change()} title="New job (n)">New</button>`}
  </div>`;
}

/** @param {{ name: Filter, label: string, count?: number }} props */
function Chip({ name, label, count }) {
  const choose = () => {
    filter.value = name;
  };
  return html`<button class="small ghost" aria-pressed=${filter.value === name} onClick=${choose}>${label}${count !== undefined && html` <b>${count}</b>`}</button>`;
}

function Filters() {
  const counts = state.system.value?.jobs ?? {};
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const running = WITH_WORKER.reduce((sum, each) => sum + (counts[each] ?? 0), 0);
  return html`<div class="filters" role="group" aria-label="Which jobs">
    <${Chip} name="all" label="All" count=${all} />
    <${Chip} name="running" label="Running" count=${running} />
    <${Chip} name="failed" label="Failed" count=${counts.failed ?? 0} />
    <${Chip} name="best" label="Best" count=${Math.min(BEST, all)} />
  </div>`;
}

// --- The list -----------------------------------------------------------------------------------

function Footer() {
  return html`<footer class="hush">
    <p>mlp-service ${state.system.value?.version} · <a href=${`${ROOT}/docs`}>API docs</a> (Swagger UI, Apache-2.0)</p>
    <p>MNIST: © Yann LeCun and Corinna Cortes, <a href="https://creativecommons.org/licenses/by-sa/3.0/" rel="noreferrer">CC BY-SA 3.0</a></p>
  </footer>`;
}

/** @param {{ hides: (part: string) => boolean }} props */
export function Jobs({ hides }) {
  const ids = filter.value === "best" ? best.value : state.ids.value;
  const isEmpty = state.ids.value.length === 0;
  return html`<section class="jobs" aria-label="Jobs" tabindex="-1">
    <div class="finding"><${Find} canAdd=${state.may("train") && !hides("new")} /><${Filters} /></div>
    <ol>${ids.map((id) => html`<${Row} key=${id} id=${id} isFound=${isFound} />`)}</ol>
    <p class="none hush">${isEmpty ? "No jobs yet." : "No job has that in it."}</p>
    ${readUpTo.value && html`<${Older} key=${readUpTo.value} />`}
    ${state.selected.value.length > 1 && html`<${Bulk} />`}<${Footer} />
  </section>`;
}

// --- Keys ---------------------------------------------------------------------------------------

/** Give the focus to a row near to the one that has it. @param {1 | -1} step */
function move(step) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(".job:not([hidden])")]);
  const focused = rows.findIndex((row) => row.contains(document.activeElement));
  const chosen = rows.findIndex((row) => row.classList.contains("chosen"));
  const start = focused < 0 ? chosen : focused;
  const row = rows[Math.max(0, Math.min(rows.length - 1, start + step))];
  /** @type {HTMLElement | null} */ (row?.querySelector(".open"))?.focus();
}

onKey("/", "find a job", () => {
  state.place.value = "jobs";
  /** @type {HTMLElement | null} */ (document.querySelector(".find input"))?.focus();
});
onKey("j", "next job (Enter opens it)", () => move(1));
onKey("k", "previous job", () => move(-1));
onKey("x", "tick the job to compare it", () => {
  const row = /** @type {HTMLElement | null} */ (document.activeElement?.closest(".job"));
  if (row?.dataset.id) state.toggle(row.dataset.id);
});
