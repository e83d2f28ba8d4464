/** The form that stands in for the page while the server asks for an API key. */
import { useState } from "preact/hooks";
import { post, request } from "./api.js";
import { html, useStyles } from "./html.js";
import { complain } from "./notices.js";

/** @param {{ onOpen: () => void }} props */
export function KeyNeeded({ onOpen }) {
  useStyles("dialogs.css");
  const [problem, setProblem] = useState("");
  const open = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    try {
      await post(
        "/v1/session",
        { key: String(new FormData(form).get("key")).trim() },
        { secret: true },
      );
      onOpen();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return html`<main class="key-needed" id="main">
    <form onSubmit=${open}>
      <label for="key">API key</label>
      <div>
        <input id="key" name="key" type="password" required autocomplete="current-password"
          aria-describedby="key-words" aria-invalid=${problem !== ""} ref=${focusOnce} />
        <button class="primary">Open</button>
      </div>
      ${problem && html`<p class="error" role="alert">${problem}</p>`}
      <p class="hush" id="key-words">Keys are made by <code>mlp-service keys create</code>.</p>
    </form>
  </main>`;
}

/** @param {HTMLElement | null} element */
function focusOnce(element) {
  if (element && document.activeElement === document.body) element.focus();
}

/** Forget the session of this browser. */
export async function signOut() {
  try {
    await request("DELETE", "/v1/session");
    location.reload();
  } catch (error) {
    complain(error);
  }
}
