/**
 * The news of all jobs, from one event stream for all tabs of this browser.
 *
 * A browser gives a host six HTTP/1.1 connections for all tabs together, so a stream for each tab
 * would leave the seventh without an answer to anything. The tab that is looked at holds the stream
 * and tells the others. It never gives up: EventSource does after 401, 503 and 204, so a supervisor
 * asks the server how it is and opens the stream anew behind the last event.
 */

import { batch } from "@preact/signals";
import { get, Problem, ROOT } from "./api.js";
import { addEpoch, fill, forget } from "./epochs.js";
import { announce, complain } from "./notices.js";
import { load } from "./reading.js";
import * as state from "./state.js";
import { percent, telling, title } from "./words.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;
const SILENCE_MS = 25_000;
const PATIENCE_MS = 1500;
const TRIES_BEFORE_STOPPED = 4;

/** Number of the last event that the page has; null before the first stream. */
let cursor = /** @type {string | null} */ (null);
let instance = "";
let tries = 0;
/** Whether the lists are still to be read, for the first time or because events are missing. */
let isBehind = true;

// --- What each event does -----------------------------------------------------------------------

/** @type {Record<string, (data: any) => void>} */
const ON_EVENT = {
  hello(hello) {
    tries = 0;
    state.system.value = hello.system;
    state.outdated.value = !document.documentElement.dataset.web?.endsWith(hello.web);
    const isAnother = instance !== "" && instance !== hello.instance;
    // Without the events in between, the lists are all that tells what has happened.
    isBehind ||= cursor === null || hello.reset || isAnother;
    cursor = cursor === null || hello.reset ? String(hello.cursor) : cursor;
    instance = hello.instance;
    setLink("live");
    if (isBehind) catchUp();
    else fill().catch(tell);
  },
  job(record) {
    if (record.deleted) {
      forget(record.id);
      return state.remove(record.id);
    }
    const before = state.job(record.id);
    state.put(record);
    if (before?.state !== record.state) onStateChange(record, before);
  },
  epoch({ job, at: _, ...epoch }) {
    addEpoch(job, epoch);
  },
  progress(all) {
    for (const [id, progress] of Object.entries(all)) {
      if (state.job(id)) state.put({ id, progress });
    }
  },
  checkpoint({ job, kept, ...checkpoint }) {
    if (state.job(job)) state.put({ id: job, checkpoint });
    if (kept) state.keptNetworks.value++;
  },
  system(system) {
    state.system.value = system;
  },
  warning() {},
  ping() {},
};

/** Read the lists; if that fails, the next stream begins with it. */
async function catchUp() {
  try {
    await load();
    isBehind = false;
  } catch (error) {
    tell(error);
  }
}

/** Without an answer, the page says already that the connection is broken. @param {unknown} error */
function tell(error) {
  if (error instanceof Problem) complain(error);
}

/** @param {import("./records.js").Job} job @param {unknown} before */
function onStateChange(job, before) {
  state.chooseByItself();
  fill().catch(tell);
  if (!before || !state.isFinal(job)) return;
  const told = telling(job);
  const accuracy = told ? `, test accuracy ${percent(told.test_accuracy)}` : "";
  announce(`${title(job)} ${job.state}${accuracy}`);
}

/** @typedef {{kind: string, data: any, id?: string}} Message an event, as tabs pass it on */

/** @param {Message} message */
function take({ kind, data, id }) {
  batch(() => ON_EVENT[kind]?.(data));
  if (id) cursor = id;
}

// --- The stream of this tab ---------------------------------------------------------------------

let source = /** @type {EventSource | null} */ (null);
let reopening = 0;
let watchdog = 0;
let impatience = 0;

function openStream() {
  closeStream();
  const after = cursor === null ? "" : `?after=${cursor}`;
  source = new EventSource(`${ROOT}/v1/events${after}`);
  for (const kind of Object.keys(ON_EVENT)) {
    source.addEventListener(kind, (event) => {
      watch();
      const id = kind === "hello" ? undefined : event.lastEventId;
      const message = { kind, data: JSON.parse(event.data), id };
      tabs?.postMessage(message);
      take(message);
    });
  }
  source.onerror = reopenLater;
  watch();
}

function closeStream() {
  for (const timer of [reopening, watchdog, impatience]) clearTimeout(timer);
  source?.close();
  source = null;
}

/** A connection that breaks while the machine sleeps ends without an error. */
function watch() {
  clearTimeout(watchdog);
  watchdog = setTimeout(reopenLater, SILENCE_MS);
}

function reopenLater() {
  closeStream();
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 1.6 ** tries++);
  reopening = setTimeout(reopen, wait * (0.8 + 0.4 * Math.random()));
  // The limit on connections may send this stream away for a moment, which is not worth a word.
  impatience = setTimeout(sayHowItIs, tries > 1 ? 0 : PATIENCE_MS);
}

function sayHowItIs() {
  setLink(tries > TRIES_BEFORE_STOPPED ? "stopped" : "reconnecting");
}

async function reopen() {
  try {
    // A stream that is refused does not say why; this answer does.
    const system = await get("/v1/system", { quiet: true });
    if (system.session) return openStream();
    setLink("key");
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return setLink("key");
    reopenLater();
  }
}

/** Try again at once. */
export function reconnect() {
  tries = 0;
  if (source || isHolder || !navigator.locks) reopen();
  else hold(true);
}

/** @param {import("./records.js").Link} link */
function setLink(link) {
  clearTimeout(impatience);
  state.link.value = link;
  tabs?.postMessage({ link });
}

// --- One tab for all ----------------------------------------------------------------------------

const tabs = "BroadcastChannel" in window ? new BroadcastChannel(`mlp-stream${ROOT}`) : null;
let isHolder = false;

if (tabs) {
  tabs.onmessage = ({ data }) => {
    if (data.link) state.link.value = data.link;
    else take(data);
  };
}

/** Become the tab that holds the stream: at once, or when the present holder has gone. @param {boolean} steal */
function hold(steal) {
  if (!navigator.locks) return openStream(); // on plain http, each visible tab has a stream
  navigator.locks
    .request(`mlp-stream${ROOT}`, { steal }, () => {
      isHolder = true;
      openStream();
      return new Promise(() => {}); // until the tab closes or another one takes over
    })
    .catch(() => {
      isHolder = false;
      closeStream();
      hold(false);
    });
}

function onVisibilityChange() {
  if (!document.hidden && !isHolder) hold(true);
  else if (document.hidden && !navigator.locks) closeStream();
}

/** Begin to listen. */
export async function start() {
  document.addEventListener("visibilitychange", onVisibilityChange);
  window.addEventListener("online", reconnect);
  window.addEventListener("pageshow", (event) => event.persisted && reconnect());
  window.addEventListener("pagehide", closeStream);
  if (!document.hidden) return hold(true);
  hold(false);
  await catchUp();
}
