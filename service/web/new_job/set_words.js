/** What the dialog for a new job says about the data set that is chosen. */
import { classesOf, datasetOf, nounOf } from "../datasets.js";
import { html } from "../html.js";
import { whole } from "../words.js";

const MOST_NAMES = 6;
const SIDE = 28;

/** @param {string} dataset @returns {string} why its rows can't be deformed; "" if they can */
export const rigid = (dataset) =>
  nounOf(dataset) === "row" ? "rows of numbers can’t be deformed" : "";

/** @param {string} dataset @returns {string} what lengths of an augmentation are measured in */
export function pixelsOf(dataset) {
  const sides = datasetOf(dataset)?.image_shape;
  return sides && Math.min(...sides) !== SIDE ? `pixels, as of ${SIDE}x${SIDE}` : "pixels";
}

/** @param {number[]} shape @returns {string} */
function formIn([height, width, channels]) {
  if (width === undefined) return `${height} numbers each`;
  return `${height}x${width} pixels${channels ? " in colour" : ""}`;
}

/** Its rows, their form and its classes, in a line. @param {{ dataset: string }} props */
export function SetLine({ dataset }) {
  const set = datasetOf(dataset);
  if (!set?.shape || set.train_rows == null) return null;
  const names = classesOf(dataset);
  const shown = names.slice(0, MOST_NAMES).join(", ") + (names.length > MOST_NAMES ? ", …" : "");
  const parts = [
    `${whole(set.train_rows)} ${nounOf(dataset)}s to train on, ${whole(set.test_rows ?? 0)} to test on`,
    formIn(set.shape),
    `${names.length} ${names.length === 1 ? "class" : "classes"}: ${shown}`,
  ];
  return html`<p class="hush set-line">${parts.join(" · ")}</p>`;
}
