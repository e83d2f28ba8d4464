/** What is wrong with a field, in the words of the server, and a button that corrects it. */
import { html } from "../html.js";

/** @param {{ id: string, problem: import("../records.js").ProblemItem, onChange: (value: unknown) => void }} props */
export function FieldProblem({ id, problem, onChange }) {
  const { detail, hint, suggestion } = problem;
  return html`<p class="error" id=${id}>
    ${detail} ${suggestion === undefined ? hint : html`<button type="button" class="small" onClick=${() => onChange(suggestion)}>${hint ?? `use ${suggestion}`}</button>`}
  </p>`;
}
