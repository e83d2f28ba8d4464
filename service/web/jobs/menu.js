/**
 * The menu of a job, in the list and in the head.
 *
 * @import { Job } from "../records.js"
 */
import { render } from "preact";
import { copyAndSay } from "../dialogs/clipboard.js";
import { curl, python } from "../dialogs/snippets.js";
import { html } from "../html.js";
import * as state from "../state.js";
import { act, again, can, renamed } from "./actions.js";

const GAP = 4;

/** @typedef {[string, () => unknown, string?]} Item label, what it does, and its key */

/** @param {Job} job @returns {Item[]} */
function itemsOf(job) {
  const request = { method: "POST", path: "/v1/jobs", body: job.spec };
  const isChosen = state.selected.peek().includes(job.id);
  /** @type {(Item | false)[]} */
  const items = [
    can("pause", job) && ["Pause", () => act("pause", [job]), "p"],
    can("resume", job) && ["Resume", () => act("resume", [job]), "p"],
    can("cancel", job) && ["Cancel", () => act("cancel", [job]), "c"],
    [isChosen ? "Take out of the comparison" : "Compare", () => state.toggle(job.id), "x"],
    state.may("train") && ["Again with another seed", () => again(job), "a"],
    state.may("train") && ["Change and train…", () => state.change(job)],
    state.may("train") && ["Rename or tag…", () => startRenaming(job)],
    ["Copy as curl", () => copyAndSay(curl(request))],
    ["Copy as Python", () => copyAndSay(python(request))],
    can("delete", job) && ["Delete", () => act("delete", [job]), "Del"],
  ];
  return items.filter((item) => item !== false);
}

/** @param {Job} job */
function startRenaming(job) {
  state.open(job.id);
  renamed.value = job.id;
}

/** @param {HTMLElement} opener @param {string} id of the job */
export function showMenu(opener, id) {
  const job = state.job(id);
  if (!job) return;
  const menu = document.createElement("div");
  menu.className = "job-menu";
  menu.popover = "auto";
  menu.setAttribute("role", "menu");
  menu.ariaLabel = opener.ariaLabel;
  const choose = (/** @type {() => unknown} */ action) => () => {
    menu.hidePopover();
    action();
  };
  render(
    itemsOf(job).map(
      ([label, action, key]) =>
        html`<button role="menuitem" tabindex="-1" onClick=${choose(action)}>${label}${key && html`<kbd>${key}</kbd>`}</button>`,
    ),
    menu,
  );
  menu.onkeydown = (event) => onMenuKey(event, menu);
  menu.ontoggle = ({ newState }) => {
    if (newState !== "closed") return;
    opener.ariaExpanded = "false";
    render(null, menu);
    menu.remove();
  };
  document.body.append(menu);
  menu.showPopover();
  opener.ariaExpanded = "true";
  placeAt(menu, opener.getBoundingClientRect());
  /** @type {HTMLElement} */ (menu.firstElementChild).focus();
}

/** Put the menu under its opener, or above it where there is no room. @param {HTMLElement} menu @param {DOMRect} opener */
function placeAt(menu, opener) {
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = opener.bottom + GAP;
  const top = below + height <= innerHeight ? below : Math.max(GAP, opener.top - GAP - height);
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(GAP, Math.min(opener.right - width, innerWidth - width - GAP))}px`;
}

/** @param {KeyboardEvent} event @param {HTMLElement} menu */
function onMenuKey(event, menu) {
  const items = /** @type {HTMLElement[]} */ ([...menu.children]);
  const now = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const targets = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 };
  event.stopPropagation(); // the letters are no keys of the page here
  if (event.key === "Tab") menu.hidePopover();
  if (!(event.key in targets)) return;
  event.preventDefault();
  items.at(targets[event.key] % items.length)?.focus();
}
