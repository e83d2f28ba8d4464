/**
 * The dark room: draw, and watch the network think.
 *
 * @import { Answer, Job } from "../records.js"
 */
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { base64Of, ROOT } from "../api.js";
import { isNormalizing, readsDigits, readsRows } from "../datasets.js";
import { html, lazy } from "../html.js";
import { onKey } from "../keyboard.js";
import { announce, complain } from "../notices.js";
import * as state from "../state.js";
import { paintPicture, paintSigned } from "../weights/tiles.js";
import { chance, title } from "../words.js";
import {
  answers,
  bodyOf,
  chooseRival,
  isOld,
  mayAsk,
  networks,
  queryFor,
  rival,
  trouble,
  watch,
} from "./ask.js";
import { named, shownClasses, shownForm } from "./classes.js";
import { canUndo, clear, ink, isBlank, showFile, showTestSample, undo } from "./ink.js";
import { Pad } from "./pad.js";

const Said = lazy(() => import("./verdict.js"), "Verdict");
const Teach = lazy(() => import("./teach.js"), "Teach");
const Thought = lazy(() => import("./thought.js"), "Thought");

/** The second is how many letters of names have room below the bars. */
const [PAUSE_MS, LINE_LETTERS] = [1000, 34];

// --- Words --------------------------------------------------------------------------------------

/** What was done to the picture. @type {Record<string, string>} */
const REMARKS = {
  low_contrast: "hardly any contrast",
  thin_strokes: "thin strokes: thickened",
  several_shapes: "several shapes: taken as one",
  touches_border: "touches the edge",
  ambiguous_range: "read as black and white",
};

/** @param {Answer} answer @returns {string} */
function whatWasDone({ prediction: { input, warnings } }) {
  if (!input.normalized) return "unchanged";
  if (!isNormalizing.value) return input.inverted ? "dark ink: inverted" : "fitted";
  const remarks = warnings.map((each) => REMARKS[each]).filter(Boolean);
  if (input.inverted) remarks.unshift("dark ink: inverted");
  return remarks.length ? remarks.join(", ") : "centred";
}

/** @param {Job} job @returns {string} how old its network is */
function age(job) {
  const epoch = state.at.value ?? job.checkpoint?.epochs_done ?? 0;
  if (state.at.value === null && epoch < 1) return "in its first epoch";
  return epoch === 0 ? "before training" : `epoch ${epoch}`;
}

/** Who is asked, and why not somebody else. */
function whoIsAsked() {
  const [first, second] = networks.value;
  if (second) {
    return networks.value.map(
      ({ job }) =>
        html`<i class="tint" style=${{ background: state.tints.value.get(job.id) }}></i>${title(job)} `,
    );
  }
  const chosen = state.chosen.value[0];
  if (!first) return chosen ? title(chosen) : "no network yet";
  if (chosen && chosen.id !== first.job.id) return `asking “${title(first.job)}” meanwhile`;
  return `${title(first.job)}, ${age(first.job)}`;
}

/** @returns {string} what to do, or why nothing is to be seen */
function hint() {
  if (!mayAsk.value) return "This key may not ask networks: it lacks the scope “predict”.";
  if (trouble.value) return trouble.value;
  if (!networks.value.length && state.chosen.value.length)
    return "No weights yet: the first checkpoint comes half a second after the start.";
  if (!networks.value.length) return "No network yet. Train one, and it reads what you draw.";
  return isBlank() ? "Nothing to read yet." : "";
}

// --- Parts --------------------------------------------------------------------------------------

/** @param {{ paint: (canvas: HTMLCanvasElement) => void, label: string, children?: any }} props */
function Small({ paint, label, children }) {
  const ref = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useEffect(() => effect(() => paint(/** @type {HTMLCanvasElement} */ (ref.current))), []);
  return html`<figure>
    <canvas ref=${ref} width="28" height="28" role="img" aria-label=${label}></canvas>
    <figcaption>${label}${children}</figcaption>
  </figure>`;
}

const blank = () => new Uint8Array(shownForm.value[0] * shownForm.value[1]);
/** @param {HTMLCanvasElement} canvas */
const paintSeen = (canvas) =>
  paintPicture(
    canvas,
    answers.value[0]?.prediction.input.pixels.flat(2) ?? blank(),
    shownForm.value,
  );
/** @param {HTMLCanvasElement} canvas */
const paintWhy = (canvas) => {
  const pixels = answers.value[0]?.prediction.contributions.pixels;
  paintSigned(canvas, pixels ?? blank(), shownForm.value, "night");
};

function Eye() {
  const [answer] = answers.value;
  const why = answer?.prediction.contributions;
  return html`<div class=${isOld.value ? "eye old" : "eye"}>
    <${Small} paint=${paintSeen} label="what it sees"><br /><i>${answer && whatWasDone(answer)}</i></${Small}>
    <${Small} paint=${paintWhy} label=${why ? `why ${named(why.for)}, not ${named(why.against)}` : "why"}>
      ${why && html`<br /><i class="for">for</i> <i class="against">against</i>${!why.exact && html`<i>, roughly</i>`}`}
    </${Small}>
  </div>`;
}

function Verdict() {
  if (answers.value.length) return html`<${Said} />`;
  return html`<div class="verdict"><p>${hint()}</p></div>`;
}

function Bars() {
  const tints = state.tints.value;
  const isPair = answers.value.length > 1;
  const against = answers.value[0]?.prediction.contributions.against;
  const most = Math.max(2, Math.floor(LINE_LETTERS / shownClasses.value.length));
  return html`<div class=${isOld.value ? "bars old" : "bars"} role="group" aria-label="Probabilities; press one to see why not that one">
    ${shownClasses.value.map((label) => {
      const name = named(label);
      const each = answers.value.map(({ prediction }) => prediction.probabilities[label] ?? 0);
      const isBest = answers.value[0]?.prediction.label === label;
      const words = each.map((value) => chance(value)).join(" and ");
      return html`<button class=${isBest ? "best" : ""} aria-pressed=${rival.value === label} aria-label=${words ? `${name}: ${words}` : name} title=${name.length > 1 ? name : undefined}
        data-against=${against === label || undefined} onClick=${() => chooseRival(label)}>
        <span class="tracks">${(each.length ? each : [0]).map(
          (value, at) =>
            html`<i><data value=${each.length ? value : ""} style=${{
              height: `${100 * value}%`,
              background: isPair ? tints.get(answers.value[at].job) : undefined,
            }}></data></i>`,
        )}</span>
        <b class=${name.length > most ? "long" : ""}>${name}</b>
      </button>`;
    })}
  </div>`;
}

// --- Buttons ------------------------------------------------------------------------------------

function upload() {
  const field = Object.assign(document.createElement("input"), { type: "file", accept: "image/*" });
  field.onchange = () => field.files?.[0] && showFile(field.files[0]);
  field.click();
}

/** @param {"curl" | "python"} language */
async function copyAs(language) {
  const [network] = networks.peek();
  const snippets = await import("../dialogs/snippets.js");
  const found = await bodyOf(ink.peek(), network.job);
  const body = found instanceof Blob ? { type: found.type, base64: await base64Of(found) } : found;
  const path = `/v1/models/${network.ref}/predict${queryFor(network.job)}`;
  const { copyAndSay } = await import("../dialogs/clipboard.js");
  await copyAndSay(snippets[language]({ method: "POST", path, body }));
}

function Tools() {
  return html`<div class="tools">
    <button onClick=${undo} disabled=${!canUndo.value} title="Undo (u)">Undo</button>
    <button onClick=${clear} disabled=${isBlank()} title="Clear (Esc)">Clear</button>
    <button onClick=${testSample} title="One of the test set (r)">${readsDigits.value ? "Test digit" : "Test picture"}</button>
    <button onClick=${upload} title="A picture file; you can also drop or paste one anywhere">Upload</button>
  </div>`;
}

/** The question, for those who want to ask it elsewhere. */
function Copies() {
  const canAsk = networks.value.length > 0 && !isBlank();
  return html`<div class="tools copies">
    ${networks.value.length > 0 && html`<${Teach} />`}
    <button class="ghost small" onClick=${() => copyAs("curl")} disabled=${!canAsk}>Copy as curl</button>
    <button class="ghost small" onClick=${() => copyAs("python")} disabled=${!canAsk}>Copy as Python</button>
  </div>`;
}

const testSample = () => showTestSample().catch(complain);
onKey("r", "a picture of the test set onto the pad", testSample);
onKey("u", "take back the last stroke", undo);
onKey("Escape", "clear the pad", clear);

/** Tell screen readers the verdict, once the pen rests. */
let said = 0;
effect(() => {
  const [answer] = answers.value;
  clearTimeout(said);
  if (!answer) return;
  const { label, probability } = answer.prediction;
  said = setTimeout(() => announce(`It reads ${named(label)}, ${chance(probability)}`), PAUSE_MS);
});

export function Room() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => watch(/** @type {HTMLElement} */ (ref.current)), []);
  const what = readsDigits.value ? "draw a digit here" : "draw here";
  const label = networks.value.length ? what : "no network yet";
  if (readsRows.value) {
    return html`<section class="room" aria-label="Ask" ref=${ref}>
      <div class="head"><h2>Ask</h2></div>
      <p>This network reads rows of a table, not pictures. <a href=${`${ROOT}/docs`}>Send it</a> rows of
        numbers as JSON or CSV.</p>
    </section>`;
  }
  return html`<section class="room" aria-label="Ask" ref=${ref}>
    <div class="head"><h2>Ask</h2><p>${whoIsAsked()}</p></div>
    <div class="look">
      <${Pad} onPlace=${(/** @type {number} */ place) => chooseRival(shownClasses.peek()[place] ?? place)} label=${label} />
      <${Eye} />
      <${Verdict} />
    </div>
    <${Tools} />
    <div class="mind"><div class="units">${networks.value.length > 0 && html`<${Thought} />`}</div><${Bars} /><${Copies} /></div>
  </section>`;
}
