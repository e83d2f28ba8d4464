/** The records of the API as the page uses them; the OpenAPI document describes them in full. */

import type { Ink } from "./room/ink.js";
import type { Form } from "./weights/tiles.js";

export type State =
  | "queued"
  | "running"
  | "pausing"
  | "paused"
  | "cancelling"
  | "succeeded"
  | "failed"
  | "cancelled";

export interface Epoch {
  epoch: number;
  train_loss: number;
  test_loss: number;
  train_accuracy: number;
  test_accuracy: number;
  seconds: number;
}

/** The same, as parallel arrays of all epochs of a job. `of` tells how many epochs there are. */
export interface Columns {
  epoch: number[];
  train_loss: number[];
  test_loss: number[];
  train_accuracy: number[];
  test_accuracy: number[];
  seconds: number[];
  of: number;
}

export interface Progress {
  epochs_done: number;
  epochs: number;
  batches_done: number;
  batches_per_epoch: number;
  fraction: number;
  eta_seconds: number | null;
}

export interface Spec {
  preset?: string | null;
  name: string;
  tags: string[];
  dataset: string;
  hidden: number[];
  activation: string;
  initialization: string;
  initial_bias: number;
  epochs: number;
  batch_size: number;
  learning_rate: number;
  optimizer: { type: string; [field: string]: any };
  l2: number;
  seed: number;
  [field: string]: any;
}

/** What the network of a job expects. */
export interface JobData {
  input: "digit" | "image" | "vector";
  /** Height, width and perhaps channels, or the number of columns. */
  shape: number[];
  invert: boolean;
  class_count: number;
  /** Null in lists and in the stream. */
  classes: string[] | null;
  sha256: string;
}

export interface Job {
  id: string;
  state: State;
  owner: string | null;
  reason: { code: string; message: string } | null;
  attempt: number;
  lost_workers: number;
  spec: Spec;
  data: JobData;
  cost: { parameters: number; bytes: number; flops: number; seconds: number };
  progress: Progress;
  queue_position: number | null;
  metrics: { latest: Epoch | null; best: Epoch | null; final: Epoch | null };
  checkpoint: { epochs_done: number; batches_done: number; sha256: string } | null;
  weights_sha256: string | null;
  learned: boolean | null;
  bit_exact: boolean;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
}

export interface System {
  version: string;
  instance: string;
  web: string;
  ready: boolean;
  /** `hosts` says how many have them; a server that trains all jobs itself has none. */
  slots: { total: number; busy: number; hosts?: number };
  jobs: Partial<Record<State, number>>;
  limits: Record<string, number>;
  keys: { required: boolean };
  session: { owner: string | null; scopes: string[]; expires_at: string | null };
}

export interface Host {
  id: string;
  name: string;
  slots: number;
  busy: number;
  memory: number;
  version: string;
  started_at: string;
  seen_at: string;
}

export interface ProblemItem {
  pointer: string;
  detail: string;
  hint?: string;
  /** A value that would be right. */
  suggestion?: number;
}

/** What the server thinks of a spec before it is submitted. */
export interface Preview {
  ok: boolean;
  spec?: Spec;
  cost?: Job["cost"];
  network?: string;
  queue_position?: number;
  errors?: ProblemItem[];
}

/** Whether news arrives from the server. */
export type Link = "connecting" | "live" | "reconnecting" | "stopped" | "key";

export interface Dataset {
  name: string;
  state: "collecting" | "receiving" | "queued" | "checking" | "ready" | "failed";
  reason: { code: string; message: string } | null;
  id: string | null;
  /** The part that has been checked, from 0 to 1. */
  progress: number | null;
  input: "digit" | "image" | "vector" | null;
  /** Height and width. */
  image_shape: number[] | null;
  /** Height, width and perhaps channels, or the number of columns. */
  shape: number[] | null;
  classes: string[] | null;
  class_counts: Record<string, number[]> | null;
  train_rows: number | null;
  test_rows: number | null;
  /** That were added one by one; null for files. */
  samples: number | null;
  sha256: string | null;
  warnings: number;
  /** Null for the set that is part of the service. */
  created_at: string | null;
  /** With what was found. */
  options: Record<string, any> | null;
  description: string;
  license: string;
  attribution: string;
}

// --- What the page makes of them ------------------------------------------------------------------

export interface Prediction {
  label: number;
  probability: number;
  /** Of all classes. */
  probabilities: number[];
  warnings: string[];
  input: { normalized: boolean; inverted?: boolean; pixels: number[][] };
  /** Of each hidden layer. */
  activations?: number[][];
  /** Of the last hidden layer. */
  votes?: number[];
  contributions: {
    for: number;
    against: number;
    pixels: number[];
    difference: number;
    exact: boolean;
  };
}

/** What a network says. */
export interface Answer {
  job: string;
  /** The network, as in addresses. */
  ref: string;
  /** Epochs that it has learned. */
  epochs: number;
  /** The ink that the answer is about. */
  ink: Ink;
  prediction: Prediction;
}

/** A network that is asked. */
export interface Asked {
  job: Job;
  ref: string;
  /** Differs between any two networks. */
  key: string;
}

/** Which weights of which network are to be shown. */
export interface Wanted {
  /** The network, as in addresses. */
  ref: string;
  /** Differs between any two networks. */
  key: string;
  /** Counted from 1. */
  layer: number;
  /** The first unit, counted from 0. */
  offset: number;
  /** Whether the weights at the start are subtracted. */
  learned: boolean;
}

/** Some units of a layer. */
export interface Weights extends Wanted {
  /** (units, inputs) in C order. */
  values: Int8Array;
  units: number;
  /** Inputs of each unit. */
  inputs: number;
  /** Height and width of the pictures of its weights; null if they are none. */
  form: Form | null;
  /** The value of 1. */
  scale: number;
  /** The largest magnitude with a colour of its own, 1 to 127, at the 99.5th percentile. */
  cut: number;
}
