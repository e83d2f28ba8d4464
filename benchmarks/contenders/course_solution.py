"""A solution of the course assignment from which this project started, to be measured against.

It is written in the style of the course's book: float64, images as columns, one-hot labels, new
arrays everywhere, the activation compared as a string, each set evaluated in one pass.
"""

from itertools import pairwise

import numpy as np


def initialize(sizes, rng):
    all_weights = [
        rng.normal(0.0, np.sqrt(2 / n_in), (n_out, n_in)) for n_in, n_out in pairwise(sizes)
    ]
    all_biases = [np.full((n_out, 1), 0.01) for n_out in sizes[1:]]
    return all_weights, all_biases


def activation(f, activation_type):
    if activation_type == "ReLU":
        return np.maximum(0, f)
    return 1 / (1 + np.exp(-f))


def activation_derivative(f, activation_type):
    if activation_type == "ReLU":
        return np.where(f > 0, 1.0, 0.0)
    h = activation(f, activation_type)
    return h * (1 - h)


def forward_pass(X, all_weights, all_biases, activation_type):
    all_f, all_h = [], [X]
    for k in range(len(all_weights)):
        all_f.append(all_biases[k] + np.matmul(all_weights[k], all_h[k]))
        if k < len(all_weights) - 1:
            all_h.append(activation(all_f[k], activation_type))
    return all_f, all_h


def softmax(f):
    exponentials = np.exp(f - np.max(f, axis=0, keepdims=True))
    return exponentials / np.sum(exponentials, axis=0, keepdims=True)


def compute_loss(f, Y):
    largest = np.max(f, axis=0, keepdims=True)
    log_sum = largest + np.log(np.sum(np.exp(f - largest), axis=0, keepdims=True))
    return np.mean(log_sum - np.sum(f * Y, axis=0, keepdims=True))


def backward_pass(all_f, all_h, Y, all_weights, activation_type):
    all_dl_dweights = [None] * len(all_weights)
    all_dl_dbiases = [None] * len(all_weights)
    dl_df = (softmax(all_f[-1]) - Y) / Y.shape[1]
    for k in reversed(range(len(all_weights))):
        all_dl_dweights[k] = np.matmul(dl_df, all_h[k].T)
        all_dl_dbiases[k] = np.sum(dl_df, axis=1, keepdims=True)
        if k > 0:
            dl_dh = np.matmul(all_weights[k].T, dl_df)
            dl_df = activation_derivative(all_f[k - 1], activation_type) * dl_dh
    return all_dl_dweights, all_dl_dbiases


def evaluate(X, Y, all_weights, all_biases, activation_type):
    all_f, _ = forward_pass(X, all_weights, all_biases, activation_type)
    hits = np.argmax(all_f[-1], axis=0) == np.argmax(Y, axis=0)
    return compute_loss(all_f[-1], Y), np.mean(hits)


def train_epoch(
    X, Y, all_weights, all_biases, activation_type, learning_rate=0.1, batch_size=64, rng=None
):
    """One pass over X (rows are images) and Y (one-hot rows), shuffled; parameters in place."""
    order = rng.permutation(len(X))
    X, Y = X[order], Y[order]
    for start in range(0, len(X), batch_size):
        X_batch = X[start : start + batch_size].T
        Y_batch = Y[start : start + batch_size].T
        all_f, all_h = forward_pass(X_batch, all_weights, all_biases, activation_type)
        all_dl_dweights, all_dl_dbiases = backward_pass(
            all_f, all_h, Y_batch, all_weights, activation_type
        )
        for k in range(len(all_weights)):
            all_weights[k] = all_weights[k] - learning_rate * all_dl_dweights[k]
            all_biases[k] = all_biases[k] - learning_rate * all_dl_dbiases[k]
