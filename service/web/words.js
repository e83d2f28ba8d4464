/** How numbers, jobs and states are put into words. @import { Job } from "./records.js" */

/** @param {Job} job @returns {string} the sizes of the layers, such as 784-128-10 */
export const shape = ({ data, spec }) =>
  [
    data.shape.reduce((product, length) => product * length, 1),
    ...spec.hidden,
    data.class_count,
  ].join("-");

/** @param {Job} job @returns {string} its name, else its preset or shape, and its data set */
export function title(job) {
  const { spec } = job;
  const network = spec.preset || shape(job);
  return spec.name || (spec.dataset === "mnist" ? network : `${network} · ${spec.dataset}`);
}

/** @param {number | null | undefined} fraction @param {number} [digits] */
export const percent = (fraction, digits = 2) =>
  fraction == null ? "–" : `${(100 * fraction).toFixed(digits)} %`;

/** @param {number} probability @returns {string} in words that never claim certainty */
export function chance(probability) {
  if (probability > 0.9995) return "over 99.9 %";
  return probability < 0.0005 ? "under 0.1 %" : percent(probability, 1);
}

/** @param {number | null | undefined} seconds @returns {string} rounded as people say it */
export function duration(seconds) {
  if (seconds == null) return "";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** @param {number} number @returns {string} 1st, 2nd, 3rd, 4th, … */
export function ordinal(number) {
  const last = number % 100 > 10 && number % 100 < 14 ? 0 : number % 10;
  return `${number}${["th", "st", "nd", "rd"][last] ?? "th"}`;
}

/** @param {number} number @returns {string} with narrow spaces between thousands */
export const whole = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");

/** @param {number} bytes */
export function size(bytes) {
  const unit = bytes < 1e6 ? 1e3 : bytes < 1e9 ? 1e6 : 1e9;
  return `${(bytes / unit).toPrecision(3)} ${{ 1e3: "kB", 1e6: "MB", 1e9: "GB" }[unit]}`;
}

/** @param {Job} job @returns {import("./records.js").Epoch | null} the epoch that says what it has reached: the best one, but of mere guesses the last one, for the best is luck */
export const telling = ({ learned, metrics }) =>
  learned === false ? metrics.latest : metrics.best;
