/**
 * The pad: drawing with a mouse, a finger, a pen or the keyboard, and the ink as a picture.
 *
 * @import { Ink, Point, Sample } from "./ink.js"
 */
import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { datasetOf } from "../datasets.js";
import { html } from "../html.js";
import { announce } from "../notices.js";
import { density, fit, paintPicture } from "../weights/tiles.js";
import { begin, extend, finish, GRID_LAST, ink, isBlank, showFile } from "./ink.js";

const THICKNESS = 0.075;
const CELLS = 28;
const PICTURE_SIDE = 140;

const stamp = document.createElement("canvas");

// --- The ink as a picture -----------------------------------------------------------------------

/** @param {CanvasRenderingContext2D} context @param {Ink} drawn @param {number} side of the square */
function paint(context, { strokes, sample, file }, side) {
  context.fillStyle = "#000";
  context.fillRect(0, 0, side, side);
  if (sample) paintSample(context, sample, side);
  if (file?.bitmap) paintCentred(context, file.bitmap, side);
  context.strokeStyle = context.fillStyle = "#fff";
  context.lineWidth = THICKNESS * side;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) paintStroke(context, stroke, side / GRID_LAST);
}

/** @param {CanvasRenderingContext2D} context @param {Point[]} stroke @param {number} scale */
function paintStroke(context, stroke, scale) {
  const at = (/** @type {number} */ place) => {
    const [x, y] = /** @type {Point} */ (stroke[place]);
    return /** @type {const} */ ([x * scale, y * scale]);
  };
  // A path of one point has no length, so its dot is painted by itself.
  context.beginPath();
  context.arc(...at(0), context.lineWidth / 2, 0, 2 * Math.PI);
  context.fill();
  context.beginPath();
  context.moveTo(...at(0));
  for (let place = 1; place < stroke.length - 1; place++) {
    const [[x, y], [right, bottom]] = [at(place), at(place + 1)];
    context.quadraticCurveTo(x, y, (x + right) / 2, (y + bottom) / 2);
  }
  context.lineTo(...at(stroke.length - 1));
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {Sample} sample @param {number} side */
function paintSample(context, { dataset, pixels }, side) {
  paintPicture(stamp, pixels.flat(2), datasetOf(dataset)?.image_shape ?? [CELLS, CELLS]);
  context.imageSmoothingEnabled = false;
  paintCentred(context, stamp, side);
}

/** @param {CanvasRenderingContext2D} context @param {ImageBitmap | HTMLCanvasElement} bitmap @param {number} side */
function paintCentred(context, bitmap, side) {
  const scale = side / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  context.drawImage(bitmap, (side - width) / 2, (side - height) / 2, width, height);
}

const board = document.createElement("canvas");
/**
 * Return what is drawn as a picture file.
 *
 * @param {Ink} drawn
 * @param {boolean} isOnWhite whether the network was taught with dark ink on white paper
 * @returns {Promise<Blob>}
 */
export function pictureOf(drawn, isOnWhite) {
  if (drawn.file) return Promise.resolve(drawn.file.blob);
  // Strokes over a sample keep its pixels, so that it still has the form of its data set.
  const form = drawn.sample && datasetOf(drawn.sample.dataset)?.image_shape;
  const side = drawn.sample ? Math.max(...(form ?? [CELLS])) : PICTURE_SIDE;
  board.width = board.height = side;
  const context = /** @type {CanvasRenderingContext2D} */ (
    board.getContext("2d", { willReadFrequently: true })
  );
  paint(context, drawn, side);
  if (isOnWhite) {
    context.globalCompositeOperation = "difference";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, side, side);
  }
  return new Promise((resolve, reject) => {
    board.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is empty."))));
  });
}

// --- Drawing ------------------------------------------------------------------------------------

/** The cell of the pen of the keyboard, and whether it is on the paper; null while it is not used. */
const keyPen = signal(/** @type {{ x: number, y: number, isDown: boolean } | null} */ (null));
/** @param {{ x: number, y: number }} pen @returns {Point} */
const placeOf = ({ x, y }) => [(x + 0.5) / CELLS, (y + 0.5) / CELLS];

const ARROWS = /** @type {Record<string, Point>} */ ({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

/** @param {Point} step */
function movePen([dx, dy]) {
  const { x, y, isDown } = keyPen.peek() ?? { x: CELLS / 2, y: CELLS / 2, isDown: false };
  const within = (/** @type {number} */ value) => Math.max(0, Math.min(CELLS - 1, value));
  const pen = { x: within(x + dx), y: within(y + dy), isDown };
  keyPen.value = pen;
  if (!isDown) return;
  extend([placeOf(pen)]);
  finish();
}

function switchPen() {
  const pen = keyPen.peek() ?? { x: CELLS / 2, y: CELLS / 2, isDown: false };
  keyPen.value = { ...pen, isDown: !pen.isDown };
  if (!pen.isDown) begin(placeOf(pen));
  announce(pen.isDown ? "Pen up" : "Pen down");
}

/** @param {KeyboardEvent} event @param {(place: number) => void} onPlace */
function onKeyDown(event, onPlace) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const arrow = ARROWS[event.key];
  if (arrow) movePen(arrow);
  else if (event.key === " ") switchPen();
  else if (/^\d$/.test(event.key)) onPlace(Number(event.key));
  else return;
  event.preventDefault();
}

/** Draw with whatever points at a canvas. @param {HTMLCanvasElement} canvas @returns {() => void} */
function followPointer(canvas) {
  let pointer = /** @type {number | null} */ (null);
  /** @param {PointerEvent} event @returns {Point} */
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const end = (/** @type {PointerEvent} */ event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    finish();
  };
  const handlers = {
    /** @param {PointerEvent} event */
    pointerdown(event) {
      if (event.button || pointer !== null) return;
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
      keyPen.value = null;
      begin(place(event));
    },
    /** @param {PointerEvent} event */
    pointermove(event) {
      if (event.pointerId !== pointer) return;
      const between = event.getCoalescedEvents?.() ?? [];
      extend((between.length ? between : [event]).map(place));
    },
    pointerup: end,
    pointercancel: end,
    lostpointercapture: end,
    /** iOS scrolls and magnifies otherwise. @param {Event} event */
    touchstart: (event) => event.preventDefault(),
  };
  for (const [name, handler] of Object.entries(handlers)) {
    const listener = /** @type {EventListener} */ (handler);
    canvas.addEventListener(name, listener, { passive: false });
  }
  return () => {
    if (pointer !== null) finish();
  };
}

/** @param {HTMLCanvasElement} canvas */
function show(canvas) {
  // All signals are read before anything returns, because an effect follows only what it has read.
  const [drawn, pen] = [ink.value, keyPen.value, density.value];
  const side = canvas.clientWidth;
  if (!side) return; // the room is not on the screen
  const context = fit(canvas, side, side);
  paint(context, drawn, side);
  if (!pen) return;
  const [x, y] = placeOf(pen);
  context.beginPath();
  context.arc(x * side, y * side, side / CELLS, 0, 2 * Math.PI);
  context.strokeStyle = "#ffd27a";
  context.lineWidth = pen.isDown ? 3 : 1.5;
  context.stroke();
}

// --- Files from elsewhere ------------------------------------------------------------------------

/** @param {DataTransfer | null} carried */
function take(carried) {
  const file = [...(carried?.files ?? [])].find(({ type }) => !type || type.startsWith("image/"));
  if (file) showFile(file);
  return file !== undefined;
}
document.addEventListener("paste", (event) => {
  if (take(event.clipboardData)) event.preventDefault();
});
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  take(event.dataTransfer);
});

// --- The pad itself -------------------------------------------------------------------------------

const WAY =
  "Pad. Without a pointer: arrow keys move a pen, space puts it down and lifts it, R shows a " +
  "picture of the test set, and the keys 0 to 9 choose the rival.";

/** @param {{ onPlace: (place: number) => void, label: string }} props */
export function Pad({ onPlace, label }) {
  const ref = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useEffect(() => {
    const canvas = /** @type {HTMLCanvasElement} */ (ref.current);
    const stop = [effect(() => show(canvas)), followPointer(canvas)];
    const observer = new ResizeObserver(() => show(canvas));
    observer.observe(canvas);
    return () => {
      observer.disconnect();
      for (const each of stop) each();
    };
  }, []);
  return html`<div class="paper">
    <canvas class="pad" ref=${ref} tabindex="0" role="application" aria-label=${WAY} aria-roledescription="pad"
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => onKeyDown(event, onPlace)}
      onBlur=${() => (keyPen.value = null)}></canvas>
    ${isBlank() && html`<p class="hint" aria-hidden="true">${label}</p>`}
  </div>`;
}
