/**
 * The table of what is read as what; of many classes, the pairs that are confused most.
 *
 * @import { Evaluation } from "./evaluation.js"
 */
import { ROOT } from "../api.js";
import { html } from "../html.js";

/** A table of more classes has no room for its numbers. */
const MOST_CLASSES = 30;
/** A table of more classes takes all the width there is. */
export const MANY = 14;
const LONG = 2;

/** @param {KeyboardEvent} event moves from cell to cell */
function onArrow(event) {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const [down, right] = moves[/** @type {keyof typeof moves} */ (event.key)] ?? [0, 0];
  const here = /** @type {HTMLElement} */ (event.target).dataset.cell?.split("-").map(Number);
  if (!here || (!down && !right)) return;
  event.preventDefault();
  const table = /** @type {HTMLElement} */ (event.currentTarget);
  const next = `${here[0] + down}-${here[1] + right}`;
  /** @type {HTMLElement | null} */ (table.querySelector(`[data-cell="${next}"]`))?.focus();
}

/**
 * @typedef {object} Chosen the cell whose pictures are shown, such as "4-9"
 * @property {string | null} cell
 * @property {(cell: string) => void} choose
 */

/** @param {{ found: Evaluation, noun: string } & Chosen} props */
export function Confusion(props) {
  const { found, noun, ...chosen } = props;
  if (found.classes.length > MOST_CLASSES) return html`<${Pairs} ...${props} />`;
  const { counts } = found.confusion;
  const mistaken = counts.flatMap((row, digit) => row.filter((_, said) => said !== digit));
  const most = Math.max(1, ...mistaken);
  const isLong = found.classes.some(({ name }) => name.length > LONG);
  const look = `${counts.length > MANY ? "many" : ""} ${isLong ? "named" : ""}`;
  return html`<div class="wide-table"><table class=${`confusion ${look}`} onKeyDown=${onArrow}>
    <caption class="unseen">Rows: the true ${noun}. Columns: what the network says.</caption>
    <thead>
      <tr><td></td><th class="side" colspan=${counts.length} scope="colgroup">read as</th></tr>
      <tr><th class="side" scope="col">${noun}</th>${found.classes.map(({ name }) => html`<th scope="col" title=${name}><span>${name}</span></th>`)}</tr>
    </thead>
    <tbody>${counts.map(
      (row, digit) => html`<tr>
      <th scope="row" title=${found.classes[digit].name}><span>${found.classes[digit].name}</span></th>
      ${row.map((count, said) => html`<${Cell} digit=${digit} said=${said} count=${count} share=${count / most} classes=${found.classes} ...${chosen} />`)}
    </tr>`,
    )}</tbody>
  </table></div>`;
}

/** @param {{ digit: number, said: number, count: number, share: number, classes: {name: string}[] } & Chosen} props */
function Cell({ digit, said, count, share, classes, cell, choose }) {
  const name = `${digit}-${said}`;
  const isRight = digit === said;
  const isTabStop = name === (cell ?? "0-1");
  const isEmpty = isRight || !count;
  const words = `${classes[digit].name} read as ${classes[said].name}: ${count}`;
  return html`<td>
    <button data-cell=${name} class=${isRight ? "right" : ""} style=${isRight ? undefined : { "--share": share }} tabindex=${isTabStop ? 0 : -1}
      aria-pressed=${cell === name} aria-label=${words} title=${words} aria-disabled=${isEmpty}
      onClick=${() => isEmpty || choose(name)}>${count || "·"}</button>
  </td>`;
}

/** @param {{ found: Evaluation } & Chosen} props */
function Pairs({ found, cell, choose }) {
  const indices = new Map(found.classes.map(({ name }, index) => [name, index]));
  const label = `The confusion of ${found.classes.length} classes`;
  return html`<a href=${ROOT + found.links.confusion_png}><img class="heat" src=${ROOT + found.links.confusion_png} alt=${label} /></a>
    <ol class="pairs" aria-label="Classes that are confused most">
      ${found.confused.map(({ actual, predicted, count }) => {
        const name = `${indices.get(actual)}-${indices.get(predicted)}`;
        return html`<li><button class="small" aria-pressed=${cell === name} onClick=${() => choose(name)}>${actual} read as ${predicted}: ${count}</button></li>`;
      })}
    </ol>`;
}
