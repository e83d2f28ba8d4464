/**
 * Reads the list of jobs: the newest ones at once, older ones as somebody scrolls to them, and those
 * that an address names.
 *
 * @import { Job } from "./records.js"
 */
import { batch, effect, signal, untracked } from "@preact/signals";
import { get } from "./api.js";
import { fill, forget } from "./epochs.js";
import { complain, notify } from "./notices.js";
import { chooseByItself, ids, put, remove, restore, selected } from "./state.js";

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

/** Read jobs that the address names and the list has not reached; say so if there are none. */
async function findUnknown() {
  const unknown = selected.peek().filter((id) => !ids.peek().includes(id));
  if (!unknown.length) return;
  // This answer leaves out what is not there; asking for such a job itself would be an error.
  const { data } = await get(`/v1/epochs?jobs=${unknown.slice(0, 64).join(",")}&points=16`);
  const here = Object.keys(data);
  put(...(await Promise.all(here.map((id) => get(`/v1/jobs/${id}`)))));
  const gone = unknown.length - here.length;
  if (!gone) return;
  notify({
    text:
      gone === 1
        ? "A job of this address is not here any more."
        : `${gone} jobs of this address are not here any more.`,
  });
  restore(selected.peek(), false);
}

effect(() => {
  selected.value;
  if (readUpTo.value === null) return;
  untracked(() =>
    findUnknown()
      .then(() => fill())
      .catch(complain),
  );
});
