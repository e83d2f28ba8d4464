/**
 * What is shown of the curves, and how: the part of the address and the keys that belong to them.
 *
 * The curves themselves are loaded with the first job.
 *
 * @import { Signal } from "@preact/signals"
 */

import { computed, signal } from "@preact/signals";
import { addressed } from "../address.js";
import { html, lazy, loadStyles } from "../html.js";
import { onKey } from "../keyboard.js";
import * as state from "../state.js";
import { title } from "../words.js";

const Curves = lazy(async () => {
  const [curves] = await Promise.all([import("./curves.js"), loadUPlot()]);
  return curves;
}, "Curves");
const Table = lazy(() => import("./table.js"), "Table");
const HUES = 6;
const MOST_NAMES = 12;
const GLYPHS = ["●", "■", "▲", "◆", "▼", "✚", "★", "✖"];

/** The epochs that are shown; null follows the newest. */
export const zoom = signal(/** @type {[number, number] | null} */ (null));
/** Whether losses and errors are on a logarithmic axis. */
export const isLogarithmic = signal(true);
/** Whether the error is shown, 100 % minus the accuracy. */
export const showsError = signal(false);

/** Whether the numbers are shown in place of the curves. */
export const asTable = signal(false);

/** The sign of each chosen job from the seventh on, whose hue is that of another one. */
export const markers = computed(
  () =>
    new Map(
      state.selected.value
        .map(
          (id, rank) =>
            /** @type {const} */ ([id, GLYPHS[(Math.floor(rank / HUES) - 1) % GLYPHS.length]]),
        )
        .slice(HUES),
    ),
);

addressed({
  key: "zoom",
  write: () => zoom.value?.join("-") ?? null,
  read: (text) => {
    const [from, to] = text?.split("-").map(Number) ?? [];
    zoom.value = from >= 1 && to > from ? [from, to] : null;
  },
});
addressed({
  key: "y",
  write: () => (showsError.value ? "error" : null),
  read: (text) => {
    showsError.value = text === "error";
  },
});
addressed({
  key: "log",
  write: () => (isLogarithmic.value ? null : "0"),
  read: (text) => {
    isLogarithmic.value = text !== "0";
  },
});

/** @param {Signal<boolean>} flag */
export const toggle = (flag) => () => {
  flag.value = !flag.value;
};
export function showAll() {
  zoom.value = null;
}
onKey("l", "logarithmic axis", toggle(isLogarithmic));
onKey("e", "error in place of accuracy", toggle(showsError));
onKey("f", "follow the newest epoch", () => {
  showAll();
  state.at.value = null;
});

// --- The view -----------------------------------------------------------------------------------

const UPLOT = document.documentElement.dataset.uplot;
const SCRIPT = `${UPLOT}/uPlot.iife.min.js`;
/** Where browsers know Trusted Types, they want to be told that an address is meant. */
const TRUSTED_SCRIPT =
  /** @type {any} */ (globalThis).trustedTypes
    ?.createPolicy("uplot", { createScriptURL: () => SCRIPT })
    .createScriptURL("") ?? SCRIPT;

/** Load uPlot, which is a classic script and can't be imported. @returns {Promise<void>} */
async function loadUPlot() {
  if ("uPlot" in globalThis) return;
  loadStyles(`${UPLOT}/uPlot.min.css`);
  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = TRUSTED_SCRIPT;
    script.onload = resolve;
    script.onerror = () => reject(new Error("uPlot could not be loaded."));
    document.head.append(script);
  });
}

function Legend() {
  const jobs = state.chosen.value;
  const point = (/** @type {string | null} */ id) => () => {
    state.hovered.value = id;
  };
  return html`<p class="legend">
    ${jobs.slice(0, MOST_NAMES).map(
      (
        job,
      ) => html`<span style=${{ "--tint": state.tints.value.get(job.id) }} onPointerEnter=${point(job.id)} onPointerLeave=${point(null)}>
        <i></i>${markers.value.get(job.id)} ${title(job)}</span>`,
    )}
    ${jobs.length > MOST_NAMES && html`<span>and ${jobs.length - MOST_NAMES} more</span>`}
    <span class="hush"><i></i>test</span><span class="hush"><i class="dashed"></i>train</span>
    <button class="small ghost push" aria-pressed=${asTable.value} onClick=${toggle(asTable)}>as table</button>
  </p>`;
}

export function Charts() {
  return html`<div class="pair">${asTable.value ? html`<${Table} />` : html`<${Curves} />`}</div><${Legend} />`;
}
