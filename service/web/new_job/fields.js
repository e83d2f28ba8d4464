/** The fields of a spec, as the dialog for a new job shows them. */
import { nounOf } from "../datasets.js";
import { pixelsOf } from "./set_words.js";

/**
 * @typedef {object} Field
 * @property {string} path in the spec, with dots
 * @property {string} label in which words for the rows and the pixels of a set have their places
 * @property {"number" | "choice" | "set" | "switch" | "text" | "words" | "notes"} kind
 * @property {string[]} [options] of a choice
 * @property {string} [needs] the value of `optimizer.type` or `augmentation` with which it applies
 * @property {string} [placeholder]
 */

/** @type {Field} */
export const SET_FIELD = { path: "dataset", label: "Data set", kind: "set" };

/** @type {Field[]} */
export const MAIN_FIELDS = [
  { path: "activation", label: "Activation", kind: "choice", options: ["relu", "sigmoid", "tanh"] },
  { path: "learning_rate", label: "Learning rate", kind: "number" },
  { path: "epochs", label: "Epochs", kind: "number" },
  { path: "batch_size", label: "Batch size", kind: "number" },
  { path: "seed", label: "Seed", kind: "number" },
  { path: "name", label: "Name", kind: "text", placeholder: "optional" },
];

/** @type {Field[]} */
export const MORE_FIELDS = [
  { path: "optimizer.type", label: "Optimizer", kind: "choice", options: ["sgd", "adamw"] },
  { path: "optimizer.momentum", label: "Momentum", kind: "number", needs: "sgd" },
  { path: "optimizer.nesterov", label: "Nesterov’s momentum", kind: "switch", needs: "sgd" },
  { path: "l2", label: "L2 regularisation", kind: "number", needs: "sgd" },
  { path: "optimizer.weight_decay", label: "Weight decay", kind: "number", needs: "adamw" },
  { path: "optimizer.beta1", label: "Beta 1", kind: "number", needs: "adamw" },
  { path: "optimizer.beta2", label: "Beta 2", kind: "number", needs: "adamw" },
  {
    path: "schedule",
    label: "Learning-rate schedule",
    kind: "choice",
    options: ["constant", "cosine"],
  },
  {
    path: "initialization",
    label: "Initial weights",
    kind: "choice",
    options: ["he_normal", "glorot_uniform"],
  },
  { path: "initial_bias", label: "Initial biases", kind: "number" },
  { path: "augmentation", label: "Deform the ROWS", kind: "switch" },
  {
    path: "augmentation.rotation",
    label: "Rotation (degrees)",
    kind: "number",
    needs: "augmentation",
  },
  { path: "augmentation.scale", label: "Scaling", kind: "number", needs: "augmentation" },
  { path: "augmentation.shear", label: "Shear", kind: "number", needs: "augmentation" },
  {
    path: "augmentation.translation",
    label: "Translation (PIXELS)",
    kind: "number",
    needs: "augmentation",
  },
  {
    path: "augmentation.elastic",
    label: "Elastic (PIXELS)",
    kind: "number",
    needs: "augmentation",
  },
  {
    path: "augmentation.smoothness",
    label: "Smoothness (PIXELS)",
    kind: "number",
    needs: "augmentation",
  },
  { path: "class_weights", label: "Balance the classes", kind: "switch" },
  { path: "tags", label: "Tags, with commas between them", kind: "words" },
  { path: "metadata", label: "Notes, one “key: text” on each line", kind: "notes" },
];

/** @typedef {Record<string, any>} Fields of a spec: those that are given, or all of a resolved one */

/** @param {Fields} spec @param {string} path @returns {any} */
export const valueAt = (spec, path) =>
  path.split(".").reduce((value, name) => value?.[name], /** @type {any} */ (spec));

/** @param {Fields} spec @param {string} path @param {unknown} value @returns {Fields} a changed copy */
export function withValue(spec, path, value) {
  const [name = "", ...rest] = path.split(".");
  const changed = rest.length ? withValue(spec[name] ?? {}, rest.join("."), value) : value;
  return { ...spec, [name]: changed };
}

/** @param {Field} field @param {string} dataset @returns {string} its label for a data set */
export const labelOf = ({ label }, dataset) =>
  label.replace("ROWS", `${nounOf(dataset)}s`).replace("PIXELS", pixelsOf(dataset));

/** Whether a field means something with the other fields. @param {Field} field @param {Fields} spec */
export function applies(field, spec) {
  if (field.needs === undefined) return true;
  if (field.needs === "augmentation") return Boolean(spec.augmentation);
  return spec.optimizer?.type === field.needs;
}

/** @param {Field} field @param {any} value @returns {string} as an input shows it */
export function textOf(field, value) {
  if (value === undefined || value === null) return "";
  if (field.kind === "words") return value.join(", ");
  if (field.kind !== "notes" || typeof value === "string") return String(value);
  return Object.entries(value)
    .map(([key, note]) => `${key}: ${note}`)
    .join("\n");
}

/**
 * Return what an input's text means. A number that is none stays text, so that the server says so.
 *
 * @param {Field} field
 * @param {string} text
 */
export function parsed(field, text) {
  if (field.kind === "number")
    return text.trim() && Number.isFinite(Number(text)) ? Number(text) : text;
  if (field.kind === "words")
    return text
      .split(",")
      .map((word) => word.trim())
      .filter(Boolean);
  if (field.kind !== "notes") return text;
  const lines = text.split("\n").filter((line) => line.trim());
  return Object.fromEntries(
    lines.map((line) => {
      const [key = "", ...note] = line.split(":");
      return [key.trim(), note.join(":").trim()];
    }),
  );
}
