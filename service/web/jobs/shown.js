/** What a view shows of a job. @import { ReadonlySignal } from "@preact/signals" @import { Job } from "../records.js" */
import { useComputed } from "@preact/signals";
import * as state from "../state.js";

/**
 * Return a part of a job as a signal. Where a template has it as a text or an attribute, news is
 * written there and renders nothing.
 *
 * @template T
 * @param {string} id
 * @param {(job: Job) => T} read
 * @returns {ReadonlySignal<T | undefined>}
 */
export function useShown(id, read) {
  return useComputed(() => {
    const job = state.job(id);
    return job && read(job);
  });
}
