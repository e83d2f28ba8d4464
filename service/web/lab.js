/** The middle of the page: what happens in the chosen jobs, and what they have learned. */
import { html } from "./html.js";
import * as state from "./state.js";
import { title } from "./words.js";

/** @param {{ hides: (part: string) => boolean }} props */
export function Lab({ hides: _ }) {
  const jobs = state.chosen.value;
  return html`<main class="lab" id="main" tabindex="-1">
    <h2>${jobs.length ? jobs.map(title).join(", ") : "Nothing trained here yet."}</h2>
  </main>`;
}
