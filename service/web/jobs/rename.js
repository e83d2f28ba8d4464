/** The form for the name and the tags of a job. @import { Job } from "../records.js" */
import { useEffect, useRef } from "preact/hooks";
import { html } from "../html.js";
import { rename, renamed } from "./actions.js";

const leave = () => {
  renamed.value = null;
};

/** @param {{ job: Job }} props */
export function Rename({ job }) {
  const first = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => first.current?.select(), []);
  const save = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const { name, tags } = /** @type {any} */ (event.currentTarget);
    const words = tags.value.split(",").map((/** @type {string} */ tag) => tag.trim());
    rename(job.id, { name: name.value.trim(), tags: words.filter(Boolean) });
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && leave();
  return html`<form class="rename" onSubmit=${save} onKeyDown=${onKeyDown}>
    <label>Name<input ref=${first} name="name" value=${job.spec.name} maxlength="64" autocomplete="off" /></label>
    <label>Tags, with commas in between<input name="tags" value=${job.spec.tags.join(", ")} autocomplete="off" /></label>
    <button class="primary">Save</button><button type="button" onClick=${leave}>Not now</button>
  </form>`;
}
