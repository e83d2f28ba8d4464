/** The hidden layers of a new network as chips. */
import { classesOf, inputsOf, nounOf } from "../datasets.js";
import { html } from "../html.js";
import { FieldProblem } from "./field_problem.js";

const USUAL_WIDTH = 128;

/**
 * @param {{ dataset: string, sizes: any[], problem?: import("../records.js").ProblemItem,
 *   onChange: (sizes: unknown[]) => void }} props
 */
export function Layers({ dataset, sizes, problem, onChange }) {
  const set = (/** @type {number} */ index, /** @type {string} */ text) =>
    onChange(sizes.with(index, text.trim() && Number.isFinite(Number(text)) ? Number(text) : text));
  const wrong = Number(problem?.pointer.split("/")[2]);
  return html`<fieldset class="layers">
    <legend>Layers</legend>
    <span class="chip fixed">${inputsOf(dataset) ?? "…"} <small>${nounOf(dataset) === "row" ? "numbers" : "pixels"}</small></span>
    ${sizes.map(
      (size, index) => html`<span class="chip">
        <input value=${size} inputmode="numeric" aria-label=${`Units of hidden layer ${index + 1}`}
          aria-invalid=${wrong === index} onInput=${(/** @type {any} */ event) => set(index, event.target.value)} />
        <button type="button" class="ghost small" aria-label=${`Remove hidden layer ${index + 1}`}
          onClick=${() => onChange(sizes.toSpliced(index, 1))}>×</button>
      </span>`,
    )}
    <button type="button" class="small" onClick=${() => onChange([...sizes, sizes.at(-1) ?? USUAL_WIDTH])}>+ layer</button>
    <span class="chip fixed">${classesOf(dataset).length || "…"} <small>${nounOf(dataset) === "digit" ? "digits" : "classes"}</small></span>
    ${problem && html`<${FieldProblem} id="field-hidden-problem" problem=${problem} onChange=${(/** @type {number} */ size) => onChange(sizes.with(Number.isNaN(wrong) ? 0 : wrong, size))} />`}
  </fieldset>`;
}
