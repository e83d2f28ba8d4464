/** The presets as cards, in words about the data set that is chosen. */
import { classesOf, nounOf } from "../datasets.js";
import { html } from "../html.js";
import { rigid } from "./set_words.js";

/** @typedef {Record<string, any>} Fields */

/** What each preset reaches on MNIST. */
const REACHED = /** @type {const} */ ({
  linear: "≈ 92.5 %",
  "mlp-relu": "≈ 98 %",
  "mlp-sigmoid": "≈ 97.4 %",
  "mlp-augmented": "≈ 99.4 %",
});
const DEFAULT = "mlp-relu";
/** What a choice of another preset keeps. */
const KEPT = ["name", "tags", "metadata", "seed", "dataset"];

/** @param {keyof typeof REACHED} preset @param {string} dataset @returns {string} */
function wordsFor(preset, dataset) {
  if (preset === "mlp-relu") return "128 hidden units";
  if (preset === "mlp-sigmoid") return "the old way";
  const noun = nounOf(dataset);
  if (preset === "mlp-augmented")
    return `deformed ${noun}s${dataset === "mnist" ? ", 10 min" : ""}`;
  const count = classesOf(dataset).length || "…";
  return noun === "row" ? `${count} weighted sums` : `${count} templates`;
}

/** @param {{ spec: Fields, dataset: string, onChange: (spec: Fields) => void }} props */
export function Presets({ spec, dataset, onChange }) {
  const choose = (/** @type {string} */ preset) => {
    const kept = KEPT.filter((name) => name in spec);
    onChange({ preset, ...Object.fromEntries(kept.map((name) => [name, spec[name]])) });
  };
  const chosen = spec.preset ?? (Object.keys(spec).length ? null : DEFAULT);
  return html`<div class="presets" role="group" aria-label="Presets">
    ${Object.entries(REACHED).map(([name, accuracy]) => {
      const preset = /** @type {keyof typeof REACHED} */ (name);
      const why = preset === "mlp-augmented" ? rigid(dataset) : "";
      return html`<button type="button" aria-pressed=${preset === chosen} disabled=${why !== "" && preset !== chosen} onClick=${() => choose(preset)}>
        <b>${preset}</b><span>${why || wordsFor(preset, dataset)}</span><span>${dataset === "mnist" && accuracy}</span>
      </button>`;
    })}
  </div>`;
}
