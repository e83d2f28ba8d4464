import htm from "htm";
import { h, render } from "preact";

const html = htm.bind(h);
/** The prefix under which the service is published, with a slash at its end. */
const root = new URL("../../", import.meta.url);

render(
  html`<h1>mlp-service</h1><p>The API is described in <a href=${new URL("docs", root).href}>the API docs</a>.</p>`,
  /** @type {HTMLElement} */ (document.getElementById("app")),
);
