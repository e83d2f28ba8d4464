"""This project's trainer."""

from benchmarks.contenders.race import Accuracies, Epoch, Task, images, take_part
from mlp_core import Dataset, Recipe, Split, Training, lay_out
from mlp_core.parallel.step_runner import TwoCoreSteps


def prepare(task: Task) -> Epoch:
    train, test = (Split(*images(name)) for name in ("train", "t10k"))
    recipe = Recipe(
        hidden=task.sizes[1:-1],
        activation=task.activation,
        initialization="he_normal",
        initial_bias=0.01,
        epochs=10**6,
        batch_size=task.batch_size,
        learning_rate=task.learning_rate,
        momentum=task.momentum,
    )
    dataset = Dataset("mnist", train, test, 10)
    steps = TwoCoreSteps(recipe, dataset, lay_out(dataset), lambda: task.threads > 1)
    training = Training(recipe, dataset, steps=steps)
    epochs = (progress.epoch for progress in training if progress.epoch)

    def epoch() -> Accuracies:
        done = next(epochs)
        return done.train_accuracy, done.test_accuracy

    return epoch


if __name__ == "__main__":
    take_part(prepare)
