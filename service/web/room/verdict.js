/**
 * What the asked networks read, in large figures and in words.
 *
 * @import { Answer } from "../records.js"
 */

import { html } from "../html.js";
import { job as jobOf } from "../state.js";
import { chance, title } from "../words.js";
import { answers, isOld } from "./ask.js";
import { nameOf as classOf, truthOf } from "./classes.js";

const SURE = 0.8;

/** @param {Answer} answer */
const nameOf = ({ job }) => {
  const known = jobOf(job);
  return known ? title(known) : "a network";
};

/** @param {Answer} answer @param {number} [label] @returns {string} the name of a class, by default of what it reads */
const readIn = ({ job, prediction }, label = prediction.label) => {
  const known = jobOf(job);
  return known ? classOf(known, label) : String(label);
};

/** @param {string} name @returns {string} */
const lengthOf = (name) => (name.length > 3 ? "long" : "");

/** @returns {string} who reads what, and who is right if that is known */
function compared() {
  const [one, other] = answers.value;
  const [first, second] = [readIn(one), readIn(other)];
  const truth = truthOf(one);
  const said =
    first === second
      ? `Both read ${first}.`
      : `${nameOf(one)} reads ${first}, ${nameOf(other)} reads ${second}.`;
  if (truth === undefined) return said;
  const right = [one, other].filter((each) => readIn(each) === truth);
  const who = ["neither is right", `${right[0] && nameOf(right[0])} is right`, "both are right"];
  return `${said} It is a ${truth}: ${who[right.length]}.`;
}

export function Verdict() {
  const [answer, other] = answers.value;
  const name = isOld.value ? "verdict old" : "verdict";
  if (!answer) return null;
  const { label, probability, probabilities } = answer.prediction;
  const read = readIn(answer);
  if (other) {
    return html`<div class=${name}>
      <strong class=${lengthOf(read)}>${read}</strong>${readIn(other) !== read && html`<strong class=${lengthOf(readIn(other))}>${readIn(other)}</strong>`}
      <p>${compared()}</p>
    </div>`;
  }
  const ranked = [...probabilities.keys()].sort(
    (one, two) => probabilities[two] - probabilities[one],
  );
  const next = ranked.find((each) => each !== label);
  const truth = truthOf(answer);
  return html`<div class=${name}>
    <strong class=${`${lengthOf(read)} ${probability < SURE ? "unsure" : ""}`}>${read}</strong>
    <p>${chance(probability)}${truth !== undefined && html`<span class="truth">${truth === read ? "right" : `it is a ${truth}`}</span>`}<br />
      ${next !== undefined && html`<span class="soft">then ${readIn(answer, next)} (${chance(probabilities[next])})</span>`}</p>
  </div>`;
}
