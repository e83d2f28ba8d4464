/** The records of the API as the page uses them; the OpenAPI document describes them in full. */

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

export interface Job {
  id: string;
  state: State;
  owner: string | null;
  reason: { code: string; message: string } | null;
  attempt: number;
  lost_workers: number;
  spec: Spec;
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
  slots: { total: number; busy: number };
  jobs: Partial<Record<State, number>>;
  limits: Record<string, number>;
  keys: { required: boolean };
  session: { owner: string | null; scopes: string[]; expires_at: string | null };
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
