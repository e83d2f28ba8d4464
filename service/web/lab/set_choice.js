/**
 * Which data set is looked at, and what can be done with it as a whole.
 *
 * @import { ReadonlySignal } from "@preact/signals"
 * @import { Dataset } from "../records.js"
 */
import { computed, effect, signal, untracked } from "@preact/signals";
import { addressedSignal } from "../address.js";
import { get, request } from "../api.js";
import { putSet, readSets, sets } from "../datasets.js";
import { html } from "../html.js";
import { confirmed } from "../jobs/actions.js";
import { complain } from "../notices.js";
import * as state from "../state.js";
import { newestOf } from "../weights/layers.js";
import { chooseFiles } from "./set_upload.js";

const DEFAULT = "mnist";

/** The set that was chosen; null for that of the leading job. */
const chosen = signal(/** @type {string | null} */ (null));
addressedSignal("set", chosen, null, (text) => (/^[a-z0-9][a-z0-9._-]*$/.test(text) ? text : null));

/** The name of the set that is shown; null while the tab is not. */
export const name = computed(() =>
  state.tab.value === "data" ? (chosen.value ?? state.lead.value?.spec.dataset ?? DEFAULT) : null,
);

/** Counts how often a set that is not finished has been looked at. */
const looks = signal(0);
/** @type {ReadonlySignal<Dataset | null>} */
export const dataset = newestOf(
  computed(() => (name.value === null ? null : { wanted: name.value, look: looks.value })),
  ({ wanted, look }) => `${wanted} ${look}`,
  async ({ wanted, look }) => {
    /** @type {Dataset} */
    const found = await get(`/v1/datasets/${wanted}${look ? "?wait=1" : ""}`);
    putSet(found);
    return found;
  },
);
/** Whether a set stays as it is unless somebody changes it. */
export const isFinal = (/** @type {Dataset} */ { state: now }) =>
  ["ready", "failed", "collecting"].includes(now);
effect(() => {
  const found = dataset.value;
  if (found && found.name === name.value && !isFinal(found)) untracked(() => looks.value++);
});
effect(() => {
  if (name.value !== null && sets.value === null) untracked(() => readSets().catch(complain));
});

/** @param {string} wanted name of a data set */
export function choose(wanted) {
  chosen.value = wanted;
  looks.value = 0;
}

/** @param {Dataset} found */
async function remove(found) {
  const question = `Delete the data set “${found.name}” and its report?`;
  if (!(await confirmed(question, "Delete it", "Keep it"))) return;
  try {
    await request("DELETE", `/v1/datasets/${found.name}`);
    sets.value = (sets.peek() ?? []).filter((each) => each.name !== found.name);
    choose(DEFAULT);
  } catch (error) {
    complain(error);
  }
}

/** @param {Dataset} found */
function trainOn({ name: wanted }) {
  state.draft.value = { preset: "mlp-relu", dataset: wanted };
}

/** @param {{ found: Dataset | null }} props */
export function Choice({ found }) {
  const names = new Set([name.value ?? DEFAULT, ...(sets.value ?? []).map((each) => each.name)]);
  const isOwn = found && found.name !== DEFAULT;
  return html`<div class="choices">
    <label>Data set <select value=${name.value} onChange=${(/** @type {any} */ event) => choose(event.target.value)}>
      ${[...names].sort().map((each) => html`<option value=${each} selected=${each === name.value}>${each}</option>`)}
    </select></label>
    ${
      state.may("train") &&
      html`<button onClick=${chooseFiles} title="A zip of folders, a table, arrays: drop them here, too">Add your own…</button>
      ${found?.state === "ready" && html`<button onClick=${() => trainOn(found)}>Train on it</button>`}
      ${isOwn && isFinal(found) && html`<button class="ghost" onClick=${() => remove(found)}>Delete</button>`}`
    }
  </div>`;
}
