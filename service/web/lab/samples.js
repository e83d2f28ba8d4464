/**
 * Pictures of a data set, each of them a button that puts it on the pad.
 *
 * @import { ReadonlySignal } from "@preact/signals"
 */
import { getArray } from "../api.js";
import { html } from "../html.js";
import { showSample } from "../room/ink.js";
import { newestOf } from "../weights/layers.js";
import { pictureUrl } from "../weights/tiles.js";

/**
 * @typedef {object} Wish
 * @property {string} dataset
 * @property {string} split
 * @property {number[]} indices
 *
 * @typedef {Wish & {urls: string[]}} Samples with the address of each picture
 */

/**
 * Return a signal that holds the wanted pictures.
 *
 * @param {ReadonlySignal<Wish | null>} wanted
 * @returns {ReadonlySignal<Samples | null>}
 */
export const samplesOf = (wanted) =>
  newestOf(wanted, ({ dataset, split, indices }) => `${dataset} ${split} ${indices}`, read);

/** @param {Wish} wish @returns {Promise<Samples>} */
async function read(wish) {
  const { dataset, split, indices } = wish;
  if (!indices.length) return { ...wish, urls: [] };
  const found = await getArray(`/v1/datasets/${dataset}/${split}.npy?indices=${indices}`);
  const size = found.data.length / indices.length;
  const form = found.shape.slice(1);
  const urls = indices.map((_, at) =>
    pictureUrl(found.data.subarray(size * at, size * (at + 1)), form),
  );
  return { ...wish, urls };
}

/**
 * @param {{ samples: Samples, label: (index: number) => string, caption?: (index: number) => any }} props
 *   `label` says what a picture shows, `caption` what stands under it
 */
export function Sheet({ samples, label, caption }) {
  const { dataset, split, indices, urls } = samples;
  return html`<ul class="contact-sheet">
    ${indices.map(
      (index, at) => html`<li key=${index}>
      <button onClick=${() => showSample(split, index, dataset)} aria-label=${`${label(index)}. Put it on the pad`} title="Put it on the pad">
        <img src=${urls[at]} alt="" width="56" height="56" />
      </button>
      ${caption && html`<p>${caption(index)}</p>`}
    </li>`,
    )}
  </ul>`;
}
