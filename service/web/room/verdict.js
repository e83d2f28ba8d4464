/**
 * What the asked networks read, in large figures and in words.
 *
 * @import { Answer } from "./ask.js"
 */

import { html } from "../html.js";
import { job as jobOf } from "../state.js";
import { chance, title } from "../words.js";
import { answers, isOld } from "./ask.js";

const SURE = 0.8;

/** @param {Answer} answer */
const nameOf = ({ job }) => {
  const known = jobOf(job);
  return known ? title(known) : "a network";
};

/** @param {Answer} answer @returns {number | undefined} the digit that it is about, if that is known */
const truthOf = ({ ink: { strokes, sample } }) => (strokes.length ? undefined : sample?.label);

/** @returns {string} who reads what, and who is right if that is known */
function compared() {
  const [one, other] = answers.value;
  const [first, second] = [one.prediction.label, other.prediction.label];
  const truth = truthOf(one);
  const said =
    first === second
      ? `Both read ${first}.`
      : `${nameOf(one)} reads ${first}, ${nameOf(other)} reads ${second}.`;
  if (truth === undefined) return said;
  const right = [one, other].filter(({ prediction }) => prediction.label === truth);
  const who = ["neither is right", `${right[0] && nameOf(right[0])} is right`, "both are right"];
  return `${said} It is a ${truth}: ${who[right.length]}.`;
}

export function Verdict() {
  const [answer, other] = answers.value;
  const name = isOld.value ? "verdict old" : "verdict";
  if (!answer) return null;
  const { label, probability, probabilities } = answer.prediction;
  if (other) {
    return html`<div class=${name}>
      <strong>${label}</strong>${other.prediction.label !== label && html`<strong>${other.prediction.label}</strong>`}
      <p>${compared()}</p>
    </div>`;
  }
  const ranked = [...probabilities.keys()].sort(
    (one, two) => probabilities[two] - probabilities[one],
  );
  const next = ranked.find((digit) => digit !== label) ?? 0;
  const truth = truthOf(answer);
  return html`<div class=${name}>
    <strong class=${probability < SURE ? "unsure" : ""}>${label}</strong>
    <p>${chance(probability)}${truth !== undefined && html`<span class="truth">${truth === label ? "right" : `it is a ${truth}`}</span>`}<br />
      <span class="soft">then ${next} (${chance(probabilities[next])})</span></p>
  </div>`;
}
