/**
 * Records the film of a job's kept networks in the browser.
 *
 * @import { Job } from "../records.js"
 */
import { sleep } from "../api.js";
import { title } from "../words.js";
import { learned, readWeights } from "./layers.js";
import { palette } from "./tiles.js";
import { drawTiles, gridOf } from "./units.js";

const WIDTH = 960;
const EDGE = 16;
const HEAD = 56;
const FRAME_MS = 250;
/** The last picture stays a moment. */
const END_MS = 1000;
/** What browsers record: Chromium and Firefox the first ones, Safari the last one. */
const TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const INK = { paper: ["#ffffff", "#1b1b1f"], night: ["#0d0f12", "#f2f0ea"] };

/**
 * Record a film, one frame for each epoch, and hand it to the user as a file.
 *
 * @param {Job} job
 * @param {number[]} epochs
 * @param {(done: number) => void} tell is called after each frame
 */
export async function saveFilm(job, epochs, tell) {
  const type =
    globalThis.MediaRecorder && TYPES.find((each) => MediaRecorder.isTypeSupported(each));
  if (!type)
    throw new Error("This browser can't record a film. Take the one from the API instead.");
  const canvas = document.createElement("canvas");
  await drawFrame(canvas, job, epochs[0]);
  const stream = canvas.captureStream(0); // a frame only when it is asked for
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: 8e6 });
  const pieces = /** @type {Blob[]} */ ([]);
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  const track = /** @type {CanvasCaptureMediaStreamTrack} */ (stream.getVideoTracks()[0]);
  recorder.start();
  try {
    for (const [index, epoch] of epochs.entries()) {
      await drawFrame(canvas, job, epoch);
      track.requestFrame();
      tell(index + 1);
      await sleep(index === epochs.length - 1 ? END_MS : FRAME_MS);
    }
  } finally {
    await stopped(recorder);
    track.stop();
  }
  const ending = type.startsWith("video/mp4") ? "mp4" : "webm";
  download(new Blob(pieces, { type }), `${title(job)}.${ending}`);
}

/** @param {MediaRecorder} recorder */
function stopped(recorder) {
  return new Promise((resolve) => {
    recorder.onstop = resolve;
    recorder.stop();
  });
}

/** @param {Blob} film @param {string} name */
function download(film, name) {
  const href = URL.createObjectURL(film);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** @param {HTMLCanvasElement} canvas @param {Job} job @param {number} epoch */
async function drawFrame(canvas, job, epoch) {
  const ref = `${job.id}@${epoch}`;
  const weights = await readWeights({
    ref,
    key: ref,
    layer: 1,
    offset: 0,
    learned: learned.peek(),
  });
  const isLinear = job.spec.hidden.length === 0;
  const grid = gridOf(weights, { width: WIDTH - 2 * EDGE, isLinear });
  const height = 2 * Math.ceil((grid.height + HEAD + EDGE) / 2); // video wants even numbers
  if (canvas.width !== WIDTH) canvas.width = WIDTH;
  if (canvas.height !== height) canvas.height = height;
  const context = /** @type {CanvasRenderingContext2D} */ (
    canvas.getContext("2d", { alpha: false })
  );
  const [ground, ink] = INK[palette.peek()];
  context.resetTransform();
  context.fillStyle = ground;
  context.fillRect(0, 0, WIDTH, height);
  drawWords(context, ink, title(job), epoch === 0 ? "before training" : `epoch ${epoch}`);
  context.translate(EDGE, HEAD);
  drawTiles(context, weights, { grid, ink, name: palette.peek() });
}

/** @param {CanvasRenderingContext2D} context @param {string} ink @param {string} name @param {string} epoch */
function drawWords(context, ink, name, epoch) {
  const family = getComputedStyle(document.body).fontFamily;
  context.fillStyle = ink;
  context.font = `600 20px ${family}`;
  const width = context.measureText(epoch).width;
  context.fillText(epoch, WIDTH - EDGE - width, 36);
  context.fillText(name, EDGE, 36, WIDTH - 3 * EDGE - width);
}
