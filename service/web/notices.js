/** Messages that float over the page, and what screen readers are told. */
import { signal } from "@preact/signals";
import { html } from "./html.js";
import { link, outdated } from "./state.js";

const SHORT_MS = 6000;

/**
 * @typedef {object} Notice
 * @property {string} text
 * @property {boolean} [bad] whether something went wrong
 * @property {string} [label] of its button
 * @property {() => void} [action] of its button
 */

/** @type {import("@preact/signals").Signal<(Notice & {number: number})[]>} */
const notices = signal([]);
let shown = 0;
/** The last thing that happened, for screen readers. */
const news = signal("");

/** @param {string} text said once to screen readers */
export function announce(text) {
  news.value = text;
}

/**
 * Show a message for a few seconds.
 *
 * @param {Notice} notice
 * @returns {() => void} removes it earlier
 */
export function notify(notice) {
  const number = ++shown;
  notices.value = [...notices.peek(), { ...notice, number }];
  const close = () => {
    notices.value = notices.peek().filter((other) => other.number !== number);
  };
  setTimeout(close, SHORT_MS);
  return close;
}

/** Show an error in the words of the server. @param {unknown} error */
export function complain(error) {
  const text = error instanceof Error ? error.message : String(error);
  notify({ text, bad: true });
}

const CONNECTION = {
  reconnecting: "The connection broke; coming back…",
  stopped:
    "The server does not answer. Jobs are safe: they go on from their last checkpoint when it is " +
    "back, and so does this page.",
};

/** @param {{ onReconnect: () => void }} props */
export function Notices({ onReconnect }) {
  const state = link.value;
  const isBroken = state === "reconnecting" || state === "stopped";
  return html`<div class="notices">
      ${isBroken && html`<${Bar} text=${CONNECTION[state]} bad=${state === "stopped"} label="Try now" action=${onReconnect} />`}
      ${outdated.value && html`<${Bar} text="This page is older than the server." label="Reload" action=${() => location.reload()} />`}
      ${notices.value.map((notice) => html`<${Bar} key=${notice.number} ...${notice} />`)}
    </div>
    <p class="unseen" role="status">${news.value}</p>`;
}

/** @param {Notice} props */
function Bar({ text, bad, label, action }) {
  return html`<p class=${bad ? "notice bad" : "notice"} role=${bad ? "alert" : "status"}>
    ${text}${action && html`<button onClick=${action}>${label}</button>`}
  </p>`;
}
