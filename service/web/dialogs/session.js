/** The form that stands in for the page while the server asks for an API key. */
import { useState } from "preact/hooks";
import { post, request } from "../api.js";
import { html, useStyles } from "../html.js";
import { complain } from "../notices.js";
import { system } from "../state.js";

/**
 * @param {{ onOpen: () => void, floats?: boolean }} props `floats` over what was there before
 */
export function KeyNeeded({ onOpen, floats = false }) {
  useStyles("dialogs/dialogs.css");
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
  const why = system.value?.session?.owner
    ? "Your key has ended."
    : "This service asks for a key now.";
  return html`<${floats ? "section" : "main"} class=${floats ? "key-needed floats" : "key-needed"}>
    <form onSubmit=${open}>
      ${floats && html`<p role="alert">${why}</p>`}
      <input name="username" autocomplete="username" value="API key" hidden readonly />
      <label for="key">API key</label>
      <div>
        <input id="key" name="key" type="password" required autocomplete="current-password"
          aria-describedby="key-words" aria-invalid=${problem !== ""} ref=${focusOnce} />
        <button class="primary">Open</button>
      </div>
      ${problem && html`<p class="error" role="alert">${problem}</p>`}
      <p class="hush" id="key-words">Keys are made by <code>mlp-service keys create</code>.</p>
    </form>
  <//>`;
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
