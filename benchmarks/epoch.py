"""One epoch of mlp-relu, training and the evaluation of both sets, against two peers.

    python -m benchmarks.epoch [ROUNDS]

The peers' environment, .venv-bench, is made when it is missing. All contenders run in one process,
on one core with one BLAS thread, one epoch each in turn, so that a noisy machine is noisy for all.
"""

import gzip
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-bench"
REQUIREMENTS = [f"numpy=={version('numpy')}", "scikit-learn==1.9.1"]
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
SIZES = 784, 128, 10
BATCH_SIZE = 64
LEARNING_RATE = 0.1

Accuracies = tuple[float, ...]  # of the training and the test set
Peer = Callable[[], Accuracies]  # runs one epoch


def main() -> None:
    if Path(sys.prefix) != PEERS:
        enter_peers()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    peers = {
        "mlp_core": lab(),
        "scikit-learn": scikit_learn(),
        "hand-in's code": hand_in(),
        "dense products": dense_products(),
    }
    for epoch in peers.values():
        epoch()  # to warm up
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    accuracies: dict[str, Accuracies] = {}
    for _ in range(rounds):
        for name, epoch in peers.items():
            start = time.perf_counter()
            accuracies[name] = epoch()
            seconds[name].append(time.perf_counter() - start)
    report(seconds, accuracies)


def enter_peers() -> None:
    """Run again in the peers' environment, which is made if need be."""
    python = PEERS / "bin" / "python"
    complete = PEERS / "complete"
    if not complete.exists():
        print("making", PEERS, "with", *REQUIREMENTS, flush=True)
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        complete.touch()
    command = [str(python), "-m", "benchmarks.epoch", *sys.argv[1:]]
    os.chdir(ROOT)
    os.execve(python, command, {**os.environ, **ONE_THREAD})


def report(seconds: dict[str, list[float]], accuracies: dict[str, Accuracies]) -> None:
    """Print times, and ratios as medians over the rounds of one epoch against its neighbour."""
    ours, *_ = seconds.values()
    print(f"784-128-10, relu, batch {BATCH_SIZE}, learning rate {LEARNING_RATE}; {machine()}")
    print(f"medians of {len(ours)} epochs each, training and evaluation (min..max)\n")
    print(f"{'':16}{'seconds':>8}  {'':13}{'times ours':>10}  {'':13}{'train':>8}{'test':>8}")
    for name, theirs in seconds.items():
        ratios = [their / our for their, our in zip(theirs, ours, strict=True)]
        shares = "".join(f"{share:8.2%}" for share in accuracies[name])
        print(f"{name:16}{spread(theirs, 8)}{spread(ratios, 10)}{shares}")


def spread(values: list[float], width: int) -> str:
    extremes = f"({min(values):.2f}..{max(values):.2f})"
    return f"{statistics.median(values):{width}.2f}  {extremes:13}"


def machine() -> str:
    import numpy as np
    import sklearn
    from threadpoolctl import threadpool_info

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")
    blas = {
        f"{pool['architecture']} x{pool['num_threads']}"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    return (
        f"{cpu}, one core, OpenBLAS {', '.join(sorted(blas))}\n"
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"scikit-learn {sklearn.__version__}"
    )


def mnist():
    """The real data set from the package's files, memory-mapped as in a worker."""
    import numpy as np

    from mlp_core import Dataset, Split, read_idx

    def read(name):
        data = (ROOT / "service" / "store" / "mnist" / f"{name}-ubyte.gz").read_bytes()
        array = read_idx(gzip.decompress(data))
        path = Path(directory, name).with_suffix(".npy")
        np.save(path, array.reshape(len(array), -1).squeeze())
        return np.load(path, mmap_mode="r")

    def split(name):
        return Split(read(f"{name}-images-idx3"), read(f"{name}-labels-idx1"))

    with tempfile.TemporaryDirectory() as directory:  # a mapped file outlives its name
        return Dataset("mnist", split("train"), split("t10k"), 10)


def lab() -> Peer:
    from mlp_core import Recipe, Training

    recipe = Recipe(SIZES[1:-1], "relu", "he_normal", 0.01, 10_000, BATCH_SIZE, LEARNING_RATE)
    epochs: Iterator = (epoch for epoch in Training(recipe, mnist()) if epoch is not None)

    def epoch() -> Accuracies:
        done = next(epochs)
        return done.train_accuracy, done.test_accuracy

    return epoch


def scikit_learn() -> Peer:
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    from mlp_core import scaled

    data = mnist()
    sets = [(scaled(split.images), split.labels) for split in (data.train, data.test)]
    model = MLPClassifier(
        SIZES[1:-1], solver="sgd", alpha=0.0, batch_size=BATCH_SIZE,
        learning_rate_init=LEARNING_RATE, momentum=0.0, nesterovs_momentum=False, random_state=1,
    )  # fmt: skip

    def evaluate(X, labels):
        P = model.predict_proba(X)
        loss = -np.log(np.maximum(P[np.arange(len(labels)), labels], 1e-30)).mean()
        return loss, float((P.argmax(axis=1) == labels).mean())

    def epoch() -> Accuracies:
        model.partial_fit(*sets[0], classes=np.arange(10))
        (_, train), (_, test) = [evaluate(*each) for each in sets]
        return train, test

    return epoch


def hand_in() -> Peer:
    import numpy as np

    from benchmarks import handin

    data = mnist()
    sets = [(split.images / 255, np.eye(10)[split.labels]) for split in (data.train, data.test)]
    rng = np.random.default_rng(1)
    parameters = handin.initialize(SIZES, rng)

    def epoch() -> Accuracies:
        handin.train_epoch(*sets[0], *parameters, "ReLU", LEARNING_RATE, BATCH_SIZE, rng)
        (_, train), (_, test) = [handin.evaluate(X.T, Y.T, *parameters, "ReLU") for X, Y in sets]
        return float(train), float(test)

    return epoch


def dense_products() -> Peer:
    """Only the matrix products of an epoch, with all pixels.

    No trainer on this BLAS can undercut it, unless it leaves out the black ones as ours does.
    """
    import numpy as np

    def products(rows: int, backward: bool) -> list[tuple]:
        def matrix(*shape):
            return np.random.default_rng(1).random(shape, dtype=np.float32)

        n_in, n_hidden, classes = SIZES
        X, W1, H = matrix(rows, n_in), matrix(n_in, n_hidden), matrix(rows, n_hidden)
        W2, logits = matrix(n_hidden, classes), matrix(rows, classes)
        passes = [(X, W1, H), (H, W2, logits)]
        if backward:
            dW1, dW2 = np.empty_like(W1), np.empty_like(W2)
            passes += [(H.T, logits, dW2), (logits, W2.T, H), (X.T, H, dW1)]
        return passes

    batches = products(BATCH_SIZE, backward=True)
    blocks = products(512, backward=False)
    work = [(60_000 // BATCH_SIZE, batches), (70_000 // 512, blocks)]

    def epoch() -> Accuracies:
        for count, passes in work:
            for _ in range(count):
                for A, B, C in passes:
                    np.matmul(A, B, out=C)
        return ()

    return epoch


if __name__ == "__main__":
    main()
