/** What is seen before anything has been trained: one sentence and one button. */
import { useEffect, useState } from "preact/hooks";
import { post, ROOT, randomKey } from "../api.js";
import { html } from "../html.js";
import { complain } from "../notices.js";
import * as state from "../state.js";
import { duration } from "../words.js";

const FIRST = { preset: "mlp-relu", epochs: 12, name: "my first network" };
const DIGITS = "/v1/datasets/mnist/samples.png?limit=12&columns=12&tile=48";

export function Empty() {
  const [seconds, setSeconds] = useState(/** @type {number | null} */ (null));
  const [isSending, setSending] = useState(false);
  // The same key for every click: a second one makes no second job.
  const [key] = useState(randomKey);
  useEffect(() => {
    post("/v1/jobs/preview", FIRST).then(({ cost }) => setSeconds(cost?.seconds ?? null), complain);
  }, []);
  const train = async () => {
    setSending(true);
    try {
      const { submit } = await import("../jobs/actions.js");
      await submit(FIRST, key);
      state.follow();
    } catch (error) {
      complain(error);
      setSending(false);
    }
  };
  const bringOwn = (/** @type {Event} */ event) => {
    event.preventDefault();
    state.tab.value = "data";
  };
  const chooseLayers = (/** @type {Event} */ event) => {
    event.preventDefault();
    state.change();
  };
  return html`<div class="empty">
    <h2>Nothing trained here yet.</h2>
    <p>MNIST is inside: 60 000 handwritten digits, no download. A small network learns to read them
      while you watch, and then you draw one for it.</p>
    <img src=${ROOT + DIGITS} alt="Twelve handwritten digits of the test set" width="615" height="66" />
    ${
      state.may("train")
        ? html`<button class="primary big" disabled=${isSending} onClick=${train}>Train your first network${seconds && `, about ${duration(seconds)}`}</button>
          <p class="hush">${seconds ? "That is the time on an idle core. " : ""}You can also <a href="#" onClick=${chooseLayers}>choose the layers yourself</a>,
            or <a href="#" onClick=${bringOwn}>bring your own pictures</a>.</p>`
        : html`<p class="hush">Your key allows to look and to ask, and someone else has to train.</p>`
    }
  </div>`;
}
