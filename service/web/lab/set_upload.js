/**
 * Sends files that are to become a data set: chosen or dropped, with a name, and with a bar.
 *
 * @import { Dataset } from "../records.js"
 */
import { signal } from "@preact/signals";
import { Problem, ROOT, remember } from "../api.js";
import { putSet } from "../datasets.js";
import { html } from "../html.js";

/** What the server calls a name, so that a wrong one is said before a long way. */
const NAME = "[a-z0-9][a-z0-9._\\-]{0,62}";

/** The files that are to be sent; null while nobody wants to send any. */
export const chosenFiles = signal(/** @type {File[] | null} */ (null));
/** The part that is sent, from 0 to 1; null while nothing is being sent. */
const sent = signal(/** @type {number | null} */ (null));
const refusal = signal("");

/** Let the user choose files. */
export function chooseFiles() {
  const field = Object.assign(document.createElement("input"), { type: "file", multiple: true });
  field.onchange = () => offer([...(field.files ?? [])]);
  field.click();
}

/** Ask what the files are to be called. @param {File[]} files */
export function offer(files) {
  if (!files.length || sent.peek() !== null) return;
  refusal.value = "";
  chosenFiles.value = files;
}

/** @param {File} file @returns {string} a name for what is in it */
const nameFrom = ({ name }) =>
  name
    .toLowerCase()
    .replace(/(\.(zip|tar|tgz|gz|csv|tsv|npz|npy|parquet|jsonl))+$/, "")
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "")
    .slice(0, 63) || "my-data";

/**
 * Send files; `fetch` could not tell how far they are.
 *
 * @param {string} name
 * @param {Record<string, unknown>} options
 * @param {File[]} files
 * @returns {Promise<Dataset>}
 * @throws {Problem} the service refused
 */
function send(name, options, files) {
  const fields = { name, options: JSON.stringify(options) };
  const isOne = files.length === 1;
  const query = Object.keys(options).length ? `?options=${encodeURIComponent(fields.options)}` : "";
  const [method, path] = isOne ? ["PUT", `/v1/datasets/${name}${query}`] : ["POST", "/v1/datasets"];
  const form = new FormData();
  for (const [field, text] of Object.entries(fields)) form.append(field, text);
  for (const file of files) form.append("file", file);
  const body = { files: files.map((file) => file.name), fields };
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, ROOT + path);
    request.upload.onprogress = ({ loaded, total }) => {
      sent.value = total ? loaded / total : 0;
    };
    request.onload = () => {
      remember({ method, path, body, status: request.status, began });
      const answer = answerOf(request);
      if (request.status < 300) resolve(/** @type {Dataset} */ (answer));
      else reject(new Problem(request.status, answer));
    };
    request.onerror = () => {
      remember({ method, path, body, status: 0, began });
      reject(
        new TypeError(
          "The connection broke. Send it again: that changes nothing if all of it was here.",
        ),
      );
    };
    request.send(isOne ? files[0] : form);
  });
}

/** @param {XMLHttpRequest} request @returns {Record<string, any>} */
function answerOf({ responseText }) {
  try {
    return JSON.parse(responseText);
  } catch {
    return {};
  }
}

/** @param {SubmitEvent} event @param {(name: string) => void} onSent */
async function submit(event, onSent) {
  event.preventDefault();
  const fields = new FormData(/** @type {HTMLFormElement} */ (event.target));
  const files = chosenFiles.peek() ?? [];
  const options = fields.has("normalize") ? { normalize: true } : {};
  refusal.value = "";
  sent.value = 0;
  try {
    const made = await send(String(fields.get("name")), options, files);
    putSet(made);
    chosenFiles.value = null;
    onSent(made.name);
  } catch (error) {
    refusal.value = error instanceof Error ? error.message : String(error);
  }
  sent.value = null;
}

/** The form between choosing files and sending them. @param {{ onSent: (name: string) => void }} props */
export function Adding({ onSent }) {
  const files = chosenFiles.value;
  if (!files) return null;
  const isSending = sent.value !== null;
  return html`<form class="adding card" aria-label="New data set" onSubmit=${(/** @type {SubmitEvent} */ event) => submit(event, onSent)}>
    <p><b>${files.map(({ name }) => name).join(", ")}</b></p>
    <label>Name <input name="name" required pattern=${NAME} defaultValue=${nameFrom(files[0])} maxlength="63"
      title="Lower-case letters, digits, dots, dashes and underscores" autocomplete="off" disabled=${isSending} /></label>
    <label class="check"><input type="checkbox" name="normalize" disabled=${isSending} /> They are photographs of letters or digits: bring them into MNIST’s form</label>
    ${isSending && html`<progress max="1" value=${sent.value} aria-label="Sent"></progress>`}
    ${refusal.value && html`<p class="error" role="alert">${refusal.value}</p>`}
    <div class="finish">
      <button type="button" disabled=${isSending} onClick=${() => (chosenFiles.value = null)}>Not now</button>
      <button class="primary" disabled=${isSending}>Send</button>
    </div>
  </form>`;
}
