"""PyTorch as its tutorials use it, with the data in memory, so that no DataLoader slows it down."""

import torch
from torch import nn

from benchmarks.contenders.race import Accuracies, Epoch, Task, scaled_images, take_part

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def prepare(task: Task) -> Epoch:
    torch.set_num_threads(task.threads)
    torch.manual_seed(1)
    sets = [
        tuple(map(torch.from_numpy, map(_own, scaled_images(name)))) for name in ("train", "t10k")
    ]
    layers: list[nn.Module] = []
    for n_in, n_out in zip(task.sizes, task.sizes[1:], strict=False):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[task.activation]()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=task.learning_rate, momentum=task.momentum)
    loss_of = nn.CrossEntropyLoss()

    def evaluate(X: torch.Tensor, labels: torch.Tensor) -> float:
        hits, loss = 0, 0.0
        for start in range(0, len(X), 4096):
            logits = model(X[start : start + 4096])
            wanted = labels[start : start + 4096]
            loss += float(loss_of(logits, wanted)) * len(wanted)
            hits += int((logits.argmax(1) == wanted).sum())
        return hits / len(X)

    def epoch() -> Accuracies:
        X, labels = sets[0]
        for rows in torch.randperm(len(X)).split(task.batch_size):
            optimizer.zero_grad()
            loss_of(model(X[rows]), labels[rows]).backward()
            optimizer.step()
        with torch.inference_mode():
            train, test = (evaluate(*each) for each in sets)
        return train, test

    return epoch


def _own(array):
    return array.astype("int64") if array.ndim == 1 else array.copy()


if __name__ == "__main__":
    take_part(prepare)
