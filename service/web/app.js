/** Joins the parts of the page: the bar, the three columns, the dialogs. */
import { computed, effect, signal } from "@preact/signals";
import { render } from "preact";
import { addressed, addressedSignal, startAddress } from "./address.js";
import { calls, ROOT } from "./api.js";
import { html, lazy } from "./html.js";
import { Jobs } from "./jobs/list.js";
import { onKey, startKeyboard } from "./keyboard.js";
import { complain, Notices, notify } from "./notices.js";
import { readUpTo } from "./reading.js";
import { Room } from "./room/room.js";
import * as state from "./state.js";
import { store } from "./storage.js";
import { reconnect, start } from "./stream.js";
import { isDark } from "./weights/tiles.js";
import { title } from "./words.js";

const Data = lazy(() => import("./lab/datasets.js"), "Data");
const Empty = lazy(() => import("./lab/empty.js"), "Empty");
const Lab = lazy(() => import("./lab/lab.js"), "Lab");
const Help = lazy(() => import("./dialogs/help.js"), "Help");
const Hosts = lazy(() => import("./dialogs/hosts.js"), "Hosts");
const Calls = lazy(() => import("./dialogs/calls.js"), "Calls");
const NewJob = lazy(() => import("./new_job/submit.js"), "NewJob");
const KeyNeeded = lazy(() => import("./dialogs/session.js"), "KeyNeeded");

const isPhone = matchMedia("(max-width: 720px)");
const showsHelp = signal(false);
const showsCalls = signal(false);
const showsHosts = signal(false);
/** Parts that the address hides, for lessons: `hide=new,calls,mistakes`. */
const hidden = signal("");
const hides = (/** @type {string} */ part) => hidden.value.split(",").includes(part);

// --- The bar ------------------------------------------------------------------------------------

const LINK_WORDS = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  stopped: "Server stopped",
  key: "Key needed",
};

function Connection() {
  const { slots, jobs } = state.system.value ?? {};
  const queued = jobs?.queued ? `, ${jobs.queued} queued` : "";
  const busy =
    slots && state.link.value === "live" && `${slots.busy} of ${slots.total} busy${queued}`;
  return html`<button class=${`connection ${state.link.value}`} onClick=${reconnect} title="Reconnect now">
    <i></i>${LINK_WORDS[state.link.value]}${busy && html`<span class="wide"> · ${busy}</span>`}
  </button>`;
}

/** How many machines train, if others than the server do. */
function HostCount() {
  const hosts = state.system.value?.slots.hosts;
  if (hosts === undefined || !state.may("read")) return null;
  return html`<button class="ghost" onClick=${() => toggle(showsHosts)} title="The machines that train the jobs">${hosts} ${hosts === 1 ? "host" : "hosts"}</button>`;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  store("theme", theme);
  document.dispatchEvent(new Event("theme"));
}

async function share() {
  if (navigator.share && matchMedia("(pointer: coarse)").matches) {
    return navigator.share({ url: location.href }).catch(() => {});
  }
  const { copyText } = await import("./dialogs/clipboard.js");
  if (await copyText(location.href)) notify({ text: "The address of this view is copied." });
}

async function copyLastCall() {
  const last = calls.peek().at(-1);
  const { curl } = await import("./dialogs/snippets.js");
  const { copyText } = await import("./dialogs/clipboard.js");
  if (last && (await copyText(curl(last)))) notify({ text: `Copied: ${last.method} ${last.path}` });
}

function Bar() {
  return html`<header class="top">
    <h1 class="brand"><img src=${`${document.documentElement.dataset.web}/icon.svg`} alt="" width="20" height="20" />mlp-service</h1>
    <${Connection} />
    <${HostCount} />
    <span class="push"></span>
    ${!hides("calls") && html`<button class="ghost wide" aria-pressed=${showsCalls.value} onClick=${() => toggle(showsCalls)} title="Every request of this page as curl">API calls</button>`}
    <button class="ghost" onClick=${share} title="Copy the address of this view">Share</button>
    <button class="ghost" onClick=${switchTheme} title="Light or dark">Theme</button>
    <button class="ghost wide" onClick=${() => toggle(showsHelp)} title="Keyboard" aria-label="Help">?</button>
    <${Session} />
    <a class="button ghost wide" href=${`${ROOT}/docs`}>API docs</a>
  </header>`;
}

const PLACES = /** @type {const} */ ([
  ["jobs", "Jobs"],
  ["lab", "Curves"],
  ["room", "Ask"],
]);

/** Who has signed in, if anybody had to. */
function Session() {
  const { owner, scopes } = state.system.value?.session ?? {};
  if (!owner) return null;
  const signOut = async () => (await import("./dialogs/session.js")).signOut();
  return html`<button class="ghost" onClick=${signOut} title=${`${owner}: ${scopes?.join(", ")}`}>Sign out</button>`;
}

/** The places of a phone. */
function Places() {
  return html`<nav class="places" aria-label="Parts">
    ${PLACES.map(([place, label]) => html`<button aria-current=${state.place.value === place ? "page" : undefined} onClick=${() => (state.place.value = place)}>${label}</button>`)}
  </nav>`;
}

// --- The page -----------------------------------------------------------------------------------

/** The hash is the address of what is shown, so the link must not write its own there. @param {Event} event */
function skipToCurves(event) {
  event.preventDefault();
  goTo("lab", "#main");
}

const hasChosen = computed(() => state.chosen.value.length > 0);

/** The curves of what is chosen, or what to do while there is nothing to choose. */
function Middle() {
  const isChosen = hasChosen.value;
  const isEmpty = readUpTo.value === "" && state.ids.value.length === 0;
  return html`<section class="lab" aria-label="Curves" id="main" tabindex="-1">
    ${isEmpty && html`<${Empty} />`}
    ${!isChosen && !isEmpty && readUpTo.value !== null && html`<p class="boot">Choose a job in the list.</p>`}
    ${!isChosen && state.tab.value === "data" && html`<div class="panel"><${Data} /></div>`}
    ${isChosen && html`<${Lab} hides=${hides} />`}
  </section>`;
}

function Page() {
  const needsKey = state.link.value === "key";
  if (needsKey && !state.system.value) {
    return html`<${Bar} /><${KeyNeeded} onOpen=${reconnect} />`;
  }
  return html`<a class="skip" href="#main" onClick=${skipToCurves}>Skip to the curves</a>
    <${Bar} />
    <${Notices} onReconnect=${reconnect} />
    ${needsKey && html`<${KeyNeeded} floats onOpen=${reconnect} />`}
    <main class="columns"><${Jobs} hides=${hides} /><${Middle} /><${Room} /></main>
    ${state.draft.value && html`<${NewJob} />`}
    ${showsHelp.value && html`<${Help} onClose=${() => toggle(showsHelp)} />`}
    ${showsHosts.value && html`<${Hosts} onClose=${() => toggle(showsHosts)} />`}
    ${showsCalls.value && html`<${Calls} onClose=${() => toggle(showsCalls)} />`}
    <${Places} />`;
}

/** @param {import("@preact/signals").Signal<boolean>} flag */
function toggle(flag) {
  flag.value = !flag.value;
}

onKey("n", "new job", () => state.may("train") && state.change());
onKey("1", "jobs", () => goTo("jobs", ".jobs"));
onKey("2", "curves", () => goTo("lab", "#main"));
onKey("3", "ask", () => goTo("room", ".pad"));
onKey("`", "API calls", () => toggle(showsCalls));
onKey(".", "copy the last API call as curl", copyLastCall);
onKey("d", "data", () => (state.tab.value = "data")); // also where no job has tabs
onKey("t", "light or dark", switchTheme);
onKey("?", "this help", () => toggle(showsHelp));

/** @param {typeof state.place.value} place @param {string} selector of what gets the focus */
function goTo(place, selector) {
  state.place.value = place;
  /** @type {HTMLElement | null} */ (document.querySelector(selector))?.focus();
}

addressed({
  key: "jobs",
  write: () => (state.follows.value ? null : state.selected.value.join(",") || null),
  read: (text) => {
    state.follows.value = text === null;
    if (text !== null) state.selected.value = text.split(",");
  },
});
addressedSignal("at", state.at, null, (text) => (/^\d{1,9}$/.test(text) ? Number(text) : null));
addressedSignal("tab", state.tab, "weights", String);
addressed({
  key: "place",
  // A wide screen shows all places at once.
  write: () => (isPhone.matches && state.place.value !== "lab" ? state.place.value : null),
  read: (text) => {
    state.place.value = PLACES.find(([place]) => place === text)?.[0] ?? "lab";
  },
});
addressedSignal("hide", hidden, "", String);

// A part of the page that can't be loaded is told like any other failure.
window.addEventListener("unhandledrejection", ({ reason }) => complain(reason));
const root = /** @type {HTMLElement} */ (document.getElementById("app"));
startAddress();
startKeyboard();
root.replaceChildren();
render(html`<${Page} />`, root);
effect(() => {
  root.dataset.place = state.place.value;
});
effect(() => {
  const running = state.chosen.value.find((each) => each.state === "running");
  const { epochs_done, epochs } = running?.progress ?? {};
  document.title = running ? `${epochs_done}/${epochs} ${title(running)}` : "mlp-service";
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.dispatchEvent(new Event("theme"));
});
start();
