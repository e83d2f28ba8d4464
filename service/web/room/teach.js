/** Teach it: say what is on the pad, and train on all that was said. */
import { classesOfJob, setOf } from "../datasets.js";
import { html } from "../html.js";
import { may } from "../state.js";
import { answers, networks } from "./ask.js";
import { collection, doing, keep, trainOnThem, undoLast } from "./corrections.js";
import { isBlank } from "./ink.js";

/** @param {any} event */
function correct({ target }) {
  const [answer] = answers.peek();
  if (answer && target.value) keep(answer.ink, target.value);
  target.value = "";
}

export function Teach() {
  const [network] = networks.value;
  if (!may("train") || !network || !setOf(network.job)) return null;
  const { name, count } = collection.value;
  return html`<span class="teach">
    <select aria-label="Teach it: what this is" value="" disabled=${isBlank() || !answers.value.length || doing.value !== ""} onChange=${correct}>
      <option value="">Teach it: this is…</option>
      ${classesOfJob(network.job).map((each) => html`<option value=${each}>${each}</option>`)}
    </select>
    ${doing.value && html`<span class="soft" role="status">${doing.value}</span>`}
    ${
      !doing.value &&
      count > 0 &&
      html`<button class="small" onClick=${() => trainOnThem(network.job)} title=${`Add what is kept in “${name}” to what the network has learned`}>Train on ${count} kept</button>
      <button class="ghost small" onClick=${() => undoLast({ name, samples: count })} title="Take back the last correction">Take one back</button>`
    }
  </span>`;
}
