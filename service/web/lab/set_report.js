/**
 * What was found in the files of a data set, what was left out, and what is doubtful.
 *
 * @typedef {object} Doubt
 * @property {string} code
 * @property {string} detail
 * @property {number} count
 * @property {string[]} examples
 *
 * @typedef {object} Flaw
 * @property {string} code
 * @property {string} detail
 * @property {string} place
 * @property {string} hint
 *
 * @typedef {object} Report
 * @property {string} dataset
 * @property {"digit" | "image" | "vector" | null} input null unless it is ready
 * @property {Record<string, any>} found
 * @property {Doubt[]} warnings
 * @property {Flaw[]} errors
 */
import { ROOT } from "../api.js";
import { html } from "../html.js";
import { whole } from "../words.js";

/** Warnings about single pictures, which the service draws. */
const DRAWN = ["leak", "duplicates", "two_labels", "blank", "rare_class"];
/** Of these, those about copies, which are gone where copies were left out. */
const OF_COPIES = DRAWN.slice(0, 3);
const [MOST_DRAWN, COLUMNS, TILE] = [6, 6, 96];

/** @param {unknown} value @returns {string} */
function inWords(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  if (typeof value !== "object" || value === null) return String(value);
  return Object.entries(value)
    .map(([name, count]) => `${inWords(count)} ${name}`)
    .join(", ");
}

/** @param {{ flaws: Flaw[] }} props */
const Flaws = ({ flaws }) => html`<ul class="flaws" aria-label="What is wrong">
  ${flaws.map(({ place, detail, hint }) => html`<li>${place && html`<code>${place}</code> `}${detail} ${hint && html`<span class="hush">${hint}</span>`}</li>`)}
</ul>`;

/** The pictures of a warning, each beside the one that it equals. @param {{ dataset: string, code: string, count: number }} props */
function Drawn({ dataset, code, count }) {
  const path = `/v1/datasets/${dataset}/samples.png?misfit=${code}&limit=${MOST_DRAWN}&columns=${COLUMNS}&tile=${TILE}`;
  const words = count > MOST_DRAWN ? `The first ${MOST_DRAWN} of them` : "Their pictures";
  const beside = OF_COPIES.includes(code) ? ", each before the one that it equals" : "";
  return html`<img class="drawn" src=${ROOT + path} alt=${`${code}: ${words}${beside}`} title=${words + beside} loading="lazy" />`;
}

/** @param {{ dataset: string, doubts: Doubt[], hasPictures: boolean }} props */
function Doubts({ dataset, doubts, hasPictures }) {
  const isGone = doubts.some(({ code }) => code === "deduplicated");
  const isDrawn = (/** @type {string} */ code) =>
    hasPictures && DRAWN.includes(code) && !(isGone && OF_COPIES.includes(code));
  return html`<ul class="doubts" aria-label="Warnings">
  ${doubts.map(
    ({ code, detail, count, examples }) => html`<li>
      <b>${code}</b>${count > 1 && html` <span class="tag">${whole(count)}</span>`} ${detail}
      ${isDrawn(code) && html`<${Drawn} dataset=${dataset} code=${code} count=${count} />`}
      ${
        examples.length > 0 &&
        html`<details><summary>${examples.length === count ? "Where" : "Some places"}</summary>
        <ul>${examples.map((place) => html`<li><code>${place}</code></li>`)}</ul></details>`
      }
    </li>`,
  )}
</ul>`;
}

/** @param {{ report: Report }} props */
export function ReportView({ report }) {
  const { found, warnings, errors } = report;
  const facts = Object.entries(found);
  return html`<section class="report" aria-label="Report">
    ${errors.length > 0 && html`<${Flaws} flaws=${errors} />`}
    ${warnings.length > 0 && html`<${Doubts} dataset=${report.dataset} doubts=${warnings} hasPictures=${report.input && report.input !== "vector"} />`}
    ${
      facts.length > 0 &&
      html`<details open=${errors.length > 0}><summary>What was found in the files</summary>
      <dl>${facts.map(([name, value]) => html`<div><dt>${name.replaceAll("_", " ")}</dt><dd>${inWords(value)}</dd></div>`)}</dl>
    </details>`
    }
  </section>`;
}
