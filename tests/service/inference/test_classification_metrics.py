"""The figures of evaluations equal those of scikit-learn, and worked formulas."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import Network, Split, scaled
from service.inference import classification_metrics as ours
from service.inference.evaluate import Evaluation, Rows, evaluate
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import CheckpointRef
from service.store.stored_dataset import MNIST
from tests.support.fashion_mnist import fashion
from tests.support.shipped_files import shipped_file

theirs = pytest.importorskip(
    "sklearn.metrics", reason="scikit-learn is not installed: it is one of the dev dependencies"
)

Floats = NDArray[np.float64]


def asked(weights: Floats, split: Split) -> Evaluation:
    """Return the evaluation of a linear network."""
    W = weights.astype(np.float32)
    network = Network((W,), (np.zeros(W.shape[1], np.float32),), "relu")
    saved = CheckpointRef("job_1", 1, 1, 0, "key", 1, "a")
    model = LoadedModel("job_1", "mnist", MNIST.manifest, saved, network, network.arrays())
    return evaluate(model, Rows.of_split(split))


def regression(split: Split, rows: int = 3000) -> Floats:
    """Return the weights of a linear network that reads some of the images."""
    X = scaled(split.images[:rows]).astype(float)
    Y = np.eye(10)[split.labels[:rows]]
    found: Floats = 8 * np.linalg.solve(X.T @ X + 30 * np.eye(X.shape[1]), X.T @ Y)
    return found


def mnist(datasets_dir: Any) -> Evaluation:
    images = shipped_file(datasets_dir, "test.images")
    labels = shipped_file(datasets_dir, "test.labels")
    split = Split(np.load(images), np.load(labels))
    return asked(regression(split), split)


def fashion_with_a_class_left_out(_: Any) -> Evaluation:
    """Class 3 has no images, and class 7 is never predicted."""
    images, labels = fashion("test")
    whole = Split(images.reshape(10_000, -1), labels)
    kept = whole.labels != 3
    split = Split(whole.images[kept], whole.labels[kept])
    weights = regression(whole)
    weights[:, 7] = -50
    return asked(weights, split)


def ties(_: Any) -> Evaluation:
    """Images of one white pixel each; two classes always have the same logits."""
    rng = np.random.default_rng(5)
    weights = rng.integers(-2, 3, (6, 5)).astype(float)
    weights[:, 4] = weights[:, 1]
    images = np.eye(6, dtype=np.uint8)[rng.integers(0, 6, 400)] * 255
    return asked(weights, Split(images, rng.integers(0, 5, 400, dtype=np.uint8)))


def saturated(_: Any) -> Evaluation:
    """The probabilities are 0 and 1, and some are those of wrong classes."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 4, 300, dtype=np.uint8)
    read = np.where(rng.random(300) < 0.9, labels, 3 - labels)
    return asked(np.eye(4) * 900, Split(np.eye(4, dtype=np.uint8)[read] * 255, labels))


SETS: list[Callable[[Any], Evaluation]] = [mnist, fashion_with_a_class_left_out, ties, saturated]


@pytest.fixture(scope="module", params=SETS, ids=lambda each: each.__name__)
def found(request: pytest.FixtureRequest, datasets_dir: Any) -> Evaluation:
    made: Evaluation = request.param(datasets_dir)
    return made


def probabilities(found: Evaluation) -> Floats:
    logits = found.logits.astype(float)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    rows: Floats = exponents / exponents.sum(axis=1, keepdims=True)
    return rows


def check(ours: float | None, theirs: float) -> None:
    """Check that both are equal, where None is their NaN."""
    assert (math.nan if ours is None else ours) == pytest.approx(theirs, abs=1e-12, nan_ok=True)


def test_the_confusion_matrix_is_the_same(found: Evaluation) -> None:
    labels = range(found.classes)
    expected = theirs.confusion_matrix(found.labels, found.predicted, labels=labels)
    assert found.confusion.tolist() == expected.tolist()


@pytest.mark.filterwarnings("ignore")
def test_the_figures_of_each_class_and_their_means_are_the_same(found: Evaluation) -> None:
    report = theirs.classification_report(
        found.labels,
        found.predicted,
        labels=range(found.classes),
        zero_division=np.nan,
        output_dict=True,
    )
    each = ours.by_class(found.confusion)
    support = found.confusion.sum(axis=1).tolist()
    named = {str(k): figures for k, figures in enumerate(each)}
    named |= {"macro avg": ours.macro(each), "weighted avg": ours.weighted(each, support)}
    for name, figures in named.items():
        check(figures.precision, report[name]["precision"])
        check(figures.recall, report[name]["recall"])
        check(figures.f1, report[name]["f1-score"])


@pytest.mark.filterwarnings("ignore")
def test_the_figures_of_the_whole_are_the_same(found: Evaluation) -> None:
    actual, said = found.labels, found.predicted
    each = ours.by_class(found.confusion)
    assert found.accuracy == theirs.accuracy_score(actual, said)
    check(ours.balanced_accuracy(each), theirs.balanced_accuracy_score(actual, said))
    check(ours.kappa(found.confusion), theirs.cohen_kappa_score(actual, said))
    check(ours.mcc(found.confusion), theirs.matthews_corrcoef(actual, said))


def test_the_loss_is_the_same(found: Evaluation) -> None:
    """scikit-learn's own clips probabilities, so it is given the logarithms' mean to compare."""
    logits = found.logits.astype(float)
    totals = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))
    own = logits[np.arange(len(logits)), found.labels]
    assert found.loss == pytest.approx((logits.max(axis=1) + totals - own).mean(), rel=1e-6)
    P = probabilities(found)
    if P.min() > 1e-15:
        expected = theirs.log_loss(found.labels, P, labels=range(found.classes))
        assert found.loss == pytest.approx(expected, rel=1e-6)


def test_brier_and_top_k_are_the_same(found: Evaluation) -> None:
    P = probabilities(found)
    truth = np.eye(found.classes)[found.labels]
    assert found.brier == pytest.approx(((P - truth) ** 2).sum(axis=1).mean(), abs=1e-14)
    if len(np.unique(found.labels)) == found.classes:
        expected = theirs.brier_score_loss(
            found.labels, P, labels=range(found.classes), scale_by_half=False
        )
        assert found.brier == pytest.approx(expected, abs=1e-14)
    has_ties = any(len(set(row)) < found.classes for row in found.logits.tolist())
    for k in range(1, found.classes):
        order = np.argsort(-found.logits, axis=1, kind="stable")[:, :k]
        assert found.ranked[k - 1] == (order == found.labels[:, None]).any(axis=1).mean()
        if not has_ties:  # of equal scores scikit-learn takes the highest label
            labels = range(found.classes)
            expected = theirs.top_k_accuracy_score(found.labels, P, k=k, labels=labels)
            assert found.ranked[k - 1] == pytest.approx(expected, abs=1e-15)
    assert found.ranked[-1] == 1


@pytest.mark.filterwarnings("ignore")
def test_the_areas_under_the_roc_curves_are_the_same(found: Evaluation) -> None:
    P = probabilities(found)
    for label, area in enumerate(found.roc_aucs):
        check(area, theirs.roc_auc_score(found.labels == label, found.probabilities(label)))
        exact = theirs.roc_auc_score(found.labels == label, P[:, label])
        check(area, exact)


# --- Worked by hand ---


def test_a_figure_without_anything_to_divide_by_is_none() -> None:
    """Class 1 has no rows, and class 2 is never predicted."""
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]])
    first, second, third = ours.by_class(counts)
    assert first == ours.ClassFigures(3 / 5, 3 / 4, 6 / 9)
    assert second == ours.ClassFigures(0 / 1, None, 0 / 1)
    assert third == ours.ClassFigures(None, 0 / 2, 0 / 2)
    assert ours.macro([first, second, third]).recall == (3 / 4 + 0) / 2
    assert ours.weighted([first, second, third], [4, 0, 2]).recall == (4 * 3 / 4 + 2 * 0) / 6
    assert ours.kappa(np.array([[5, 0], [0, 0]])) is None
    assert ours.mcc(np.array([[5, 0], [0, 0]])) == 0
    assert ours.roc_auc(np.array([0.1, 0.9]), np.array([True, True])) is None


def test_the_interval_of_an_accuracy_is_wilsons() -> None:
    """The bounds solve (share - p)² = z² p (1 - p) / n."""
    for right, rows in ((9795, 10_000), (0, 12), (12, 12), (1, 2)):
        share, z = right / rows, 1.959963984540054
        a, b, c = 1 + z**2 / rows, -(2 * share + z**2 / rows), share**2
        root = math.sqrt(max(0.0, b**2 - 4 * a * c))
        expected = (-b - root) / (2 * a), (-b + root) / (2 * a)
        assert ours.wilson_interval(right, rows) == pytest.approx(expected, abs=1e-12)
    assert ours.wilson_interval(9795, 10_000) == pytest.approx((0.9765, 0.9821), abs=5e-5)


def test_mcnemars_test_is_exact_for_few_rows() -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with scikit-learn")
    for first, second in ((0, 0), (1, 0), (5, 5), (3, 14), (24, 0), (10, 13)):
        found = ours.mcnemar(first, second)
        expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
        assert (found.method, found.statistic) == ("exact", min(first, second))
        assert found.p_value == pytest.approx(expected, abs=1e-12)


def test_mcnemars_test_is_corrected_for_many_rows() -> None:
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with scikit-learn")
    for first, second in ((25, 0), (30, 12), (200, 140), (20, 20)):
        found = ours.mcnemar(first, second)
        statistic = (abs(first - second) - 1) ** 2 / (first + second)
        assert (found.method, found.statistic) == ("chi-squared", statistic)
        assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-9)
