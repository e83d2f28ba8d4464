"""The demo: train the networks of the course assignment over REST, and show the results.

The service grew from an assignment of a deep-learning course, whose report states an accuracy and
a training time for each of three networks. The demo compares its own results with them.
"""

import os
import time
import webbrowser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from mlp_client import Client, ClientError, JobCancelled, JobFailed, JobHandle
from mlp_client.job_spec import PresetName
from mlp_client.predictions import Prediction
from mlp_client.spec_fields import SpecFields
from service.cli.demo_server import DemoServer, ServerFailed, sigterm_as_exit
from service.domain.job_state import State

FULL_EPOCHS = 50


@dataclass(frozen=True)
class AssignmentResult:
    """The result of a network in the course assignment."""

    accuracy: str
    """The accuracy on the test set, in the words of the report."""
    seconds: float
    """Training time."""
    required: float
    """Least test accuracy, from 0 to 1, with which our network passes."""


ASSIGNMENT: dict[PresetName, AssignmentResult] = {
    "linear": AssignmentResult("92.5 %", 32.4, 0.922),
    "mlp-relu": AssignmentResult("97.9 %", 125.8, 0.976),
    "mlp-sigmoid": AssignmentResult("almost 98 %", 153.3, 0.973),
}

Jobs = dict[PresetName, JobHandle]


def run(server: DemoServer, out: Path, epochs: int | None, leave: bool) -> int:
    """Run the whole demo and return its exit code.

    Args:
        server: the server to start.
        out: directory for pictures.
        epochs: number of epochs, or None for those of the presets.
        leave: return after the tour, instead of serving until Ctrl-C.

    """
    began = time.monotonic()
    # soft_wrap keeps each command on one line, so that it can be copied.
    console = Console(highlight=False, soft_wrap=True)
    passed = False
    try:
        with sigterm_as_exit(), server.running() as process, Client(server.url) as client:
            console.print(f"Server: {server.url} (log: {server.log})")
            show_page(console, server.url, open_it=not leave)
            passed = tour(client, console, out, epochs)
            console.print(f"\nTotal time: {time.monotonic() - began:.1f} s")
            if not leave:
                console.print(f"Serving on {server.url} until Ctrl-C.")
                process.wait()
                raise ServerFailed(server.exit_message(process))
    except (ServerFailed, ClientError, OSError) as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        rest = "" if passed else " Unfinished jobs continue when the demo is started again."
        console.print(f"\nServer stopped.{rest}")
        return 0 if passed else 130
    return 0 if passed else 1


def show_page(console: Console, url: str, open_it: bool) -> None:
    """Name the page's address, and open it in a browser where somebody can see it."""
    console.print(f"Watch and draw: {url}/")
    # Without a display, the standard library would start a browser in this terminal.
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if open_it and has_display and console.is_terminal:
        webbrowser.open(f"{url}/")


def tour(client: Client, console: Console, out: Path, epochs: int | None) -> bool:
    """Train, compare, draw and predict; return whether all networks are as good as required."""
    jobs = _train(client, console, epochs)
    console.print(_comparison(jobs))
    out.mkdir(parents=True, exist_ok=True)
    trained = {name: job for name, job in jobs.items() if job.state == State.SUCCEEDED}
    _save_pictures(client, console, out, trained)
    if relu := trained.get("mlp-relu"):
        console.print(_predict_samples(client, relu))
        _predict_drawing(console, out, relu)
        console.print(_next_commands(client.base_url, relu, out), markup=False)
    missed = shortfalls(jobs)
    for line in missed:
        console.print(line)
    return len(trained) == len(jobs) and not missed


def shortfalls(jobs: Jobs) -> list[str]:
    """Return a line for each network with all epochs whose accuracy is below the required one."""
    return [
        f"{preset}: an accuracy of {final.test_accuracy:.2%} is below the required {required:.1%}"
        for preset, job in jobs.items()
        for final, required in [(job.metrics.final, ASSIGNMENT[preset].required)]
        if final and job.spec.epochs == FULL_EPOCHS and final.test_accuracy < required
    ]


def _train(client: Client, console: Console, epochs: int | None) -> Jobs:
    fields: SpecFields = {} if epochs is None else {"epochs": epochs}
    jobs = {
        preset: client.jobs.create(preset, **(fields | {"name": preset})) for preset in ASSIGNMENT
    }
    console.print("Training the three networks of the course assignment on MNIST:")
    try:
        client.wait_all(list(jobs.values()), progress=True)
    except (JobFailed, JobCancelled) as error:
        console.print(str(error), markup=False)
    return jobs


def _comparison(jobs: Jobs) -> Table:
    table = Table(title="Accuracy on the 10 000 test images, and training time")
    table.add_column("preset")
    table.add_column("network")
    for column in ("assignment's accuracy", "here", "assignment's time", "here"):
        table.add_column(column, justify="right")
    for preset, job in jobs.items():
        assignment, final = ASSIGNMENT[preset], job.metrics.final
        network = "-".join(str(units) for units in (784, *job.spec.hidden, 10))
        here = [job.state.value, "-"]
        if final:
            seconds = sum(epoch.seconds for epoch in job.epochs())
            here = [f"{final.test_accuracy * 100:.2f} %", f"{seconds:.1f} s"]
        cells = (assignment.accuracy, here[0], f"{assignment.seconds} s", here[1])
        table.add_row(preset, network, *cells)
    return table


def _save_pictures(client: Client, console: Console, out: Path, jobs: Jobs) -> None:
    names = []
    for name, data in _pictures(client, jobs):
        (out / name).write_bytes(data)
        names.append(name)
    console.print(f"Pictures in {out}/: {', '.join(names)}\n", markup=False)


def _pictures(client: Client, jobs: Jobs) -> Iterator[tuple[str, bytes]]:
    """Yield the file name and the bytes of each picture."""
    yield "samples.png", client.contact_sheet()
    if jobs:
        yield "curves.png", client.curves(list(jobs.values()))
    for preset, job in jobs.items():
        yield f"curves-{preset}.png", job.curves()
        if preset != "mlp-sigmoid":  # its weights look like those of mlp-relu
            yield f"weights-{preset}.png", client.models.picture(job.id, layer=1)


def _predict_samples(client: Client, job: JobHandle) -> Table:
    samples = [client.sample(index) for index in range(10)]
    predictions = job.predict([sample.pixels for sample in samples], top_k=1)
    table = Table("test image", "label", "predicted", "probability")
    for sample, prediction in zip(samples, predictions, strict=True):
        cells = (sample.index, sample.label, prediction.label, f"{prediction.probability:.3f}")
        table.add_row(*(str(cell) for cell in cells))
    return table


def _predict_drawing(console: Console, out: Path, job: JobHandle) -> None:
    path = out / "drawing.png"
    draw_a_seven().save(path)
    prediction = job.predict(path, return_pixels=True)
    console.print(
        f"\nA 7 drawn with a thick pen, dark on light and off-centre ({path}): "
        f"predicted {prediction.label} with probability {prediction.probability:.3f}.",
        markup=False,
    )
    console.print(_conversion(prediction), markup=False)


def draw_a_seven() -> Image.Image:
    """Return a 7 as drawn in a paint program: large, dark on light, away from the centre."""
    times = 4  # drawn larger and then reduced, so that the edges are smooth
    image = Image.new("L", (500 * times, 400 * times), 255)
    pen, width = ImageDraw.Draw(image), 22 * times
    corners = [(x * times, y * times) for x, y in ((290, 70), (415, 64), (345, 240))]
    pen.line(corners, fill=40, width=width, joint="curve")
    for x, y in corners:
        pen.circle((x, y), width / 2, fill=40)
    return image.resize((500, 400), Image.Resampling.LANCZOS)


def _conversion(prediction: Prediction) -> str:
    """Return how the service converted an image, and what the network was given."""
    seen = prediction.input
    if seen is None or seen.pixels is None:
        return ""
    done = ["inverted it"] if seen.inverted else []
    if seen.box:
        left, top, width, height = seen.box
        done.append(f"found the ink at ({left}, {top}), {width}x{height} pixels")
    done.append("converted it to MNIST's form" if seen.normalized else "left it unchanged")
    steps = ", ".join(done)
    return f"The service {steps}, and gave the network this image:\n{_half_blocks(seen.pixels)}"


def _half_blocks(pixels: Sequence[Sequence[int]]) -> str:
    """Return pixels as text, with two rows of pixels in each line."""
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    pairs = zip(pixels[::2], pixels[1::2], strict=True)
    lines = (
        "".join(blocks[upper > 100, lower > 100] for upper, lower in zip(*rows, strict=True))
        for rows in pairs
    )
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _next_commands(url: str, job: JobHandle, out: Path) -> str:
    predict = f"{url}/v1/models/{job.id}/predict"
    return f"""
Try next:
  curl --json '{{"preset": "linear", "epochs": 5}}' {url}/v1/jobs
  curl -o curves.svg {url}/v1/jobs/{job.id}/curves.svg
  curl -H 'Content-Type: image/png' --data-binary @{out}/drawing.png {predict}
All routes: {url}/docs"""
