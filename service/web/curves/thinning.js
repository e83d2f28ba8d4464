/**
 * Curves thinned to what can be seen: the lowest and the highest value of each bucket of epochs.
 *
 * What is known of a growing curve is kept, so that a new epoch costs its own bucket and no other.
 */

/**
 * @typedef {{ first: number, each: number, count: number }} Buckets the first epoch of the first one,
 *   how many epochs each has, and how many there are
 *
 * @typedef {{ name: string, of: (value: number) => number | null }} Unit of the axis
 */

/**
 * @typedef {object} Thinned
 * @property {string} name of the unit and the buckets
 * @property {(number | null)[]} shown one value for each bucket of one epoch, else two
 * @property {number} whole buckets before this one get no more epochs
 * @property {number} start index of the first epoch that is not in them
 */

/** What each list of values has been thinned to; lists only grow. @type {WeakMap<number[], Thinned>} */
const known = new WeakMap();

/**
 * Return the values of a thinned curve, in a list that later calls change.
 *
 * @param {number[]} epoch ascending
 * @param {number[]} values
 * @param {Buckets} buckets
 * @param {Unit} unit
 * @returns {(number | null)[]} in their order, one for each bucket of one epoch, else two
 */
export function thinned(epoch, values, { first, each, count }, unit) {
  const points = each === 1 ? 1 : 2;
  const name = `${unit.name} ${first} ${each}`;
  const before = known.get(values);
  const isGrowing = before?.name === name && before.whole <= count;
  const kept = isGrowing ? before : { name, shown: [], whole: 0, start: 0 };
  known.set(values, kept);
  const { shown } = kept;
  const last = epoch.at(-1) ?? 0;
  shown.length = points * kept.whole;
  let start = kept.whole ? kept.start : startOf(epoch, first);
  for (let bucket = kept.whole; bucket < count; bucket++) {
    const next = first + (bucket + 1) * each;
    const [low, high, end] = extremes(epoch, values, start, next);
    const isEmpty = end === start;
    shown.push(isEmpty ? null : unit.of(values[Math.min(low, high)]));
    if (points === 2) shown.push(isEmpty ? null : unit.of(values[Math.max(low, high)]));
    start = end;
    if (last < next - 1) continue;
    kept.whole = bucket + 1;
    kept.start = start;
  }
  return shown;
}

/** @param {number[]} epoch @param {number} first @returns {number} the index of that epoch or of the next known one */
function startOf(epoch, first) {
  const start = epoch.findIndex((number) => number >= first);
  return start < 0 ? epoch.length : start;
}

/**
 * @param {number[]} epoch
 * @param {number[]} values
 * @param {number} start index to begin at
 * @param {number} before this epoch the bucket ends
 * @returns {[number, number, number]} indices of the lowest and the highest value, and after the last one
 */
function extremes(epoch, values, start, before) {
  let [low, high, end] = [start, start, start];
  for (; end < epoch.length && epoch[end] < before; end++) {
    if (values[end] < values[low]) low = end;
    if (values[end] > values[high]) high = end;
  }
  return [low, high, end];
}
