/**
 * Reads the list of jobs: the newest ones at once, older ones as somebody scrolls to them.
 *
 * @import { Job } from "./records.js"
 */
import { batch, signal } from "@preact/signals";
import { get } from "./api.js";
import { fill, forget } from "./epochs.js";
import { chooseByItself, ids, put, remove } from "./state.js";

/** How far the list has been read; null before the first page, "" after the last one. */
export const readUpTo = signal(/** @type {string | null} */ (null));

/** @param {string} after the id of a job @returns {Promise<Job[]>} up to a hundred older ones */
async function readPage(after) {
  const { data, has_more } = await get(`/v1/jobs?limit=100${after && `&after=${after}`}`);
  put(...data);
  readUpTo.value = has_more ? data.at(-1).id : "";
  return data;
}

/** Read the newest jobs again, because the page knows nothing yet or has missed something. */
export async function load() {
  const before = ids.peek();
  const here = new Set((await readPage("")).map((each) => each.id));
  batch(() => {
    for (const id of before) {
      if (id < (readUpTo.peek() ?? "") || here.has(id)) continue;
      remove(id);
      forget(id);
    }
    chooseByItself();
  });
  await fill();
}

/** Read older jobs than those that are known. */
export async function loadOlder() {
  if (readUpTo.peek()) await readPage(readUpTo.peek() ?? "");
}
