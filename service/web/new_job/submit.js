/**
 * The dialog for a new job. Its draft holds the fields that the user has given; the server fills in
 * the others, says what the job costs, and what is wrong with a field.
 *
 * @import { Field, Fields } from "./fields.js"
 * @import { Preview, ProblemItem } from "../records.js"
 */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Problem, post, randomKey } from "../api.js";
import { readSets, sets } from "../datasets.js";
import { Dialog } from "../dialogs/dialog.js";
import { Snippets } from "../dialogs/snippets.js";
import { html } from "../html.js";
import { submit } from "../jobs/actions.js";
import { complain } from "../notices.js";
import { draft, open, system } from "../state.js";
import { duration, ordinal, size, whole } from "../words.js";
import { FieldProblem } from "./field_problem.js";
import {
  applies,
  labelOf,
  MAIN_FIELDS,
  MORE_FIELDS,
  parsed,
  SET_FIELD,
  textOf,
  valueAt,
  withValue,
} from "./fields.js";
import { Layers } from "./layer_chips.js";
import { Presets } from "./presets.js";
import { rigid, SetLine } from "./set_words.js";

const PREVIEW_AFTER_MS = 120;
/** What the server last said about the draft. */
const preview = signal(/** @type {Preview | null} */ (null));
/** The resolved spec of the last draft that was right. */
const resolved = signal(/** @type {Fields} */ ({}));
/** Why the last submission was refused. */
const refusal = signal("");

/** @param {Fields} changed */
function change(changed) {
  refusal.value = "";
  draft.value = changed;
}

const close = () => {
  draft.value = null;
};

// --- Asking the server --------------------------------------------------------------------------

/** Ask what the server thinks of the draft. @param {Fields} spec @param {AbortSignal} abort */
async function askForPreview(spec, abort) {
  try {
    const found = await post("/v1/jobs/preview", spec, { abort });
    preview.value = found;
    if (found.spec) resolved.value = found.spec;
    else if (!resolved.value.hidden) resolved.value = (await post("/v1/jobs/preview", {})).spec;
  } catch (error) {
    if (error instanceof Problem) refusal.value = error.message;
  }
}

/** @param {Fields} spec @param {string} key makes a second click harmless */
async function train(spec, key) {
  try {
    open((await submit(spec, key)).id);
    close();
  } catch (error) {
    refusal.value = error instanceof Error ? error.message : String(error);
  }
}

// --- The dialog ---------------------------------------------------------------------------------

export function NewJob() {
  const spec = draft.value ?? {};
  const dataset = datasetIn(spec);
  const [key, setKey] = useState(randomKey);
  const [isSending, setSending] = useState(false);
  const [showsMore, setShowsMore] = useState(false);
  const isMoreWrong = MORE_FIELDS.some(({ path }) => problemAt(path));
  useEffect(() => {
    if (isMoreWrong) setShowsMore(true);
  }, [isMoreWrong]);
  useEffect(() => {
    readSets().catch(complain);
  }, []);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => askForPreview(spec, abort.signal), PREVIEW_AFTER_MS);
    setKey(randomKey());
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [spec]);
  const onSubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    setSending(true);
    await train(spec, key);
    setSending(false);
  };
  return html`<${Dialog} title="New job" wide onClose=${close}>
    <form class="new-job" onSubmit=${onSubmit} noValidate>
      <div class="what">
        <div class="fields"><${Entry} field=${SET_FIELD} spec=${spec} /><${SetLine} dataset=${dataset} /></div>
        <${Presets} spec=${spec} dataset=${dataset} onChange=${change} />
        <${Layers} dataset=${dataset} sizes=${spec.hidden ?? resolved.value.hidden ?? []} problem=${problemAt("hidden")}
          onChange=${(/** @type {unknown[]} */ hidden) => change({ ...spec, hidden })} />
        <div class="fields">${MAIN_FIELDS.map((field) => html`<${Entry} field=${field} spec=${spec} />`)}</div>
        <details open=${showsMore} onToggle=${(/** @type {any} */ event) => setShowsMore(event.target.open)}><summary>Everything else a spec can say</summary>
          <div class="fields">${MORE_FIELDS.map((field) => html`<${Entry} field=${field} spec=${spec} />`)}</div>
        </details>
      </div>
      <div class="aside">
        <${Cost} />
        <h3>The same by</h3>
        <${Snippets} request=${{ method: "POST", path: "/v1/jobs", body: spec }} />
        ${refusal.value && html`<p class="error" role="alert">${refusal.value}</p>`}
        <div class="finish">
          <button type="button" onClick=${close}>Not now</button>
          <button class="primary" disabled=${isSending || !preview.value?.ok}>Train</button>
        </div>
      </div>
    </form>
  <//>`;
}

/** @param {Fields} spec @returns {string} the name of the data set that is to be learned */
const datasetIn = (spec) => spec.dataset ?? resolved.value.dataset ?? "mnist";

/** What is wrong with a field or a part of it. @param {string} path @returns {ProblemItem | undefined} */
function problemAt(path) {
  const pointer = `#/${path.replaceAll(".", "/")}`;
  const found = preview.value?.errors ?? [];
  return found.find((item) => item.pointer === pointer || item.pointer.startsWith(`${pointer}/`));
}

/** One field with its label, its problem and the way out. @param {{ field: Field, spec: Fields }} props */
function Entry({ field, spec }) {
  const whole = { ...resolved.value, ...spec };
  const isGroup = MORE_FIELDS.some((other) => other.path.startsWith(`${field.path}.`));
  const found = problemAt(field.path);
  const problem = isGroup && found?.pointer !== `#/${field.path}` ? undefined : found;
  if (!applies(field, { ...whole, optimizer: { ...resolved.value.optimizer, ...spec.optimizer } }))
    return null;
  const value =
    valueAt(spec, field.path) ??
    (isCleared(spec, field) ? null : valueAt(resolved.value, field.path));
  const set = (/** @type {unknown} */ changed) => change(changedSpec(spec, field, changed));
  const id = `field-${field.path}`;
  const why = field.path === "augmentation" && !value ? rigid(datasetIn(spec)) : "";
  return html`<div class=${`field ${field.kind}`}>
    <label for=${id}>${labelOf(field, datasetIn(spec))}</label>
    <${Control} id=${id} field=${field} value=${value} problem=${problem} isOff=${why !== ""} onChange=${set} />
    ${why && html`<p class="caption">Not for this data set: ${why}.</p>`}
    ${problem && html`<${FieldProblem} id=${`${id}-problem`} problem=${problem} onChange=${set} />`}
  </div>`;
}

/** @param {string} chosen @returns {string[]} names of the data sets that a job can learn */
function readySets(chosen) {
  const ready = (sets.value ?? []).filter((each) => each.state === "ready");
  return [...new Set([chosen, "mnist", ...ready.map(({ name }) => name)])].sort();
}

/** @param {Fields} spec @param {Field} field */
const isCleared = (spec, field) => valueAt(spec, field.path) === null;

/** @param {Fields} spec @param {Field} field @param {unknown} value @returns {Fields} */
function changedSpec(spec, field, value) {
  if (field.path === "optimizer.type") return { ...spec, optimizer: { type: value } };
  if (field.path === "augmentation") return { ...spec, augmentation: value ? {} : null };
  if (field.path === "class_weights") return { ...spec, class_weights: value ? "balanced" : null };
  return withValue(spec, field.path, value);
}

/**
 * @param {{ id: string, field: Field, value: any, problem?: ProblemItem,
 *   isOff: boolean, onChange: (value: unknown) => void }} props
 */
function Control({ id, field, value, problem, isOff, onChange }) {
  const described = {
    id,
    "aria-invalid": problem !== undefined,
    "aria-describedby": problem && `${id}-problem`,
  };
  const onInput = (/** @type {any} */ event) => onChange(parsed(field, event.target.value));
  if (field.kind === "switch") {
    const onSwitch = (/** @type {any} */ event) => onChange(event.target.checked);
    return html`<input type="checkbox" ...${described} checked=${Boolean(value)} disabled=${isOff} onChange=${onSwitch} />`;
  }
  if (field.kind === "choice") {
    return html`<select ...${described} value=${value} onChange=${onInput}>
      ${field.options?.map((option) => html`<option value=${option}>${option}</option>`)}
    </select>`;
  }
  if (field.kind === "set") {
    return html`<select ...${described} value=${value ?? "mnist"} onChange=${onInput}>
      ${readySets(value ?? "mnist").map((name) => html`<option value=${name}>${name}</option>`)}
    </select>`;
  }
  if (field.kind === "notes") {
    return html`<textarea ...${described} rows="2" onChange=${onInput}>${textOf(field, value)}</textarea>`;
  }
  const mode = field.kind === "number" ? "decimal" : "text";
  const event = field.kind === "words" ? { onChange: onInput } : { onInput };
  return html`<input ...${described} ...${event} inputmode=${mode} value=${textOf(field, value)}
    placeholder=${field.placeholder ?? ""} autocomplete="off" />`;
}

/** @param {string} pointer @returns {boolean} whether a field shows what is wrong there */
const isShown = (pointer) =>
  [SET_FIELD, ...MAIN_FIELDS, ...MORE_FIELDS, { path: "hidden" }].some(
    ({ path }) => problemAt(path)?.pointer === pointer,
  );

/** What the job takes on this machine. */
function Cost() {
  const found = preview.value;
  const { cost, network, queue_position, ok } = found ?? {};
  if (!found || (ok && !cost)) return html`<h3>What it takes here</h3><p class="hush">Asking…</p>`;
  if (!ok || !cost) {
    const elsewhere = (found.errors ?? []).filter(({ pointer }) => !isShown(pointer));
    return html`<h3>What it takes here</h3><p class="hush">Correct the fields in red.</p>
      ${elsewhere.map(({ detail, hint }) => html`<p class="error">${detail} ${hint}</p>`)}`;
  }
  const busy = system.value?.slots.busy === system.value?.slots.total;
  const place =
    queue_position && (busy || queue_position > 1)
      ? `${ordinal(queue_position)} in the queue`
      : "starts at once";
  return html`<h3>What it takes here</h3>
    <dl class="cost">
      <div><dt>network</dt><dd class="mono">${network}</dd></div>
      <div><dt>parameters</dt><dd>${whole(cost.parameters)}</dd></div>
      <div><dt>time on an idle core</dt><dd>about ${duration(cost.seconds)}</dd></div>
      <div><dt>memory</dt><dd>${size(cost.bytes)}</dd></div>
      <div><dt>start</dt><dd>${place}</dd></div>
    </dl>`;
}
