/** The dark room: draw a digit, and watch the network think. */
import { html } from "./html.js";
import { asked } from "./state.js";
import { title } from "./words.js";

export function Room() {
  return html`<section class="room" aria-label="Ask">
    <h2>Ask ${asked.value ? title(asked.value) : ""}</h2>
  </section>`;
}
