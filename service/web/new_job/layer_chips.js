/** The hidden layers of a new network as chips. */
import { html } from "../html.js";
import { Mend } from "./mend.js";

const USUAL_WIDTH = 128;

/**
 * @param {{ sizes: any[], problem?: import("../records.js").ProblemItem,
 *   onChange: (sizes: unknown[]) => void }} props
 */
export function Layers({ sizes, problem, onChange }) {
  const set = (/** @type {number} */ index, /** @type {string} */ text) =>
    onChange(sizes.with(index, text.trim() && Number.isFinite(Number(text)) ? Number(text) : text));
  const wrong = Number(problem?.pointer.split("/")[2]);
  return html`<fieldset class="layers">
    <legend>Layers</legend>
    <span class="chip fixed">784 <small>pixels</small></span>
    ${sizes.map(
      (size, index) => html`<span class="chip">
        <input value=${size} inputmode="numeric" aria-label=${`Units of hidden layer ${index + 1}`}
          aria-invalid=${wrong === index} onInput=${(/** @type {any} */ event) => set(index, event.target.value)} />
        <button type="button" class="ghost small" aria-label=${`Remove hidden layer ${index + 1}`}
          onClick=${() => onChange(sizes.toSpliced(index, 1))}>×</button>
      </span>`,
    )}
    <button type="button" class="small" onClick=${() => onChange([...sizes, sizes.at(-1) ?? USUAL_WIDTH])}>+ layer</button>
    <span class="chip fixed">10 <small>digits</small></span>
    ${problem && html`<${Mend} id="field-hidden-problem" problem=${problem} onChange=${(/** @type {number} */ size) => onChange(sizes.with(Number.isNaN(wrong) ? 0 : wrong, size))} />`}
  </fieldset>`;
}
