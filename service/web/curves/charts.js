/**
 * What is shown of the curves, and how: the part of the address and the keys that belong to them.
 *
 * The curves themselves are loaded with the first job.
 *
 * @import { Signal } from "@preact/signals"
 */

import { computed, effect, signal, untracked } from "@preact/signals";
import { addressed } from "../address.js";
import { get } from "../api.js";
import { fill } from "../epochs.js";
import { html, lazy } from "../html.js";
import { onKey } from "../keyboard.js";
import { complain, notify } from "../notices.js";
import { readUpTo } from "../reading.js";
import * as state from "../state.js";
import { loadUPlot } from "./uplot.js";

const Curves = lazy(async () => {
  const [curves] = await Promise.all([import("./curves.js"), loadUPlot()]);
  return curves;
}, "Curves");
const Table = lazy(() => import("./table.js"), "Table");
const HUES = 6;
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

/** Read jobs that the address names and the list has not reached; say so if there are none. */
async function findUnknown() {
  const unknown = state.selected.peek().filter((id) => !state.ids.peek().includes(id));
  if (!unknown.length) return;
  // This answer leaves out what is not there; asking for such a job itself would be an error.
  const { data } = await get(`/v1/epochs?jobs=${unknown.slice(0, 64).join(",")}&points=16`);
  const here = Object.keys(data);
  state.put(...(await Promise.all(here.map((id) => get(`/v1/jobs/${id}`)))));
  const gone = unknown.length - here.length;
  if (!gone) return;
  notify({
    text:
      gone === 1
        ? "A job of this address is not here any more."
        : `${gone} jobs of this address are not here any more.`,
  });
  state.restore(state.selected.peek(), false);
}

effect(() => {
  state.selected.value;
  if (readUpTo.value === null) return;
  untracked(() =>
    findUnknown()
      .then(() => fill())
      .catch(complain),
  );
});

export function Charts() {
  return html`<div class="pair">${asTable.value ? html`<${Table} />` : html`<${Curves} />`}</div>`;
}
