"""The demo: a server, the hand-in's three networks trained over REST, and what came out."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx2
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from mlp_client import Client, ClientError, JobCancelled, JobFailed, JobHandle
from mlp_client.job_state import State
from mlp_client.predictions import Prediction
from mlp_client.spec import PresetName

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
FULL_EPOCHS = 50


@dataclass(frozen=True)
class HandIn:
    """What the course hand-in reports of a network, and the least that we accept of ours."""

    accuracy: str
    seconds: float
    least: float


HAND_IN: dict[PresetName, HandIn] = {
    "linear": HandIn("92.5 %", 32.4, 0.922),
    "mlp-relu": HandIn("97.9 %", 125.8, 0.976),
    "mlp-sigmoid": HandIn("almost 98 %", 153.3, 0.973),
}


class DemoFailed(Exception):
    """The server could not be started, or ended; `str()` says what to do."""


@dataclass(frozen=True)
class Server:
    """Where the demo's own server listens and keeps its data."""

    host: str
    port: int
    data_dir: Path
    url: str

    @property
    def log(self) -> Path:
        return self.data_dir / "server.log"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server as a child process and stop it at the end, whatever happens."""
        self._refuse_a_used_port()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        address = ["--host", self.host, "--port", str(self.port)]
        command = [sys.executable, "-m", "service", "serve", *address]
        command += ["--data-dir", str(self.data_dir)]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(process)
            yield process
        finally:
            _stop(process)

    def _refuse_a_used_port(self) -> None:
        # Otherwise the demo might talk to the program that has the port.
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            raise DemoFailed(
                f"Can't listen on {self.host} port {self.port}: {os.strerror(error.errno or 0)}. "
                "Choose another port: `make demo PORT=8001` or `mlp-service demo --port 8001`."
            ) from error

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise DemoFailed(self.log_tail(process))
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success:
                    return
            except httpx2.TransportError:
                pass  # not yet
            time.sleep(0.1)
        raise DemoFailed(f"The server is not ready after {READY_SECONDS:g} s; see {self.log}.")

    def log_tail(self, process: subprocess.Popen[bytes]) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(
            [f"The server ended with exit code {process.returncode}; {self.log} says:", *lines]
        )


def run(server: Server, out: Path, epochs: int | None, leave: bool) -> int:
    """Show everything, then serve on until Ctrl-C unless `leave`; return the exit code."""
    began = time.monotonic()
    # soft_wrap: a command must stay one line to be copied.
    console = Console(highlight=False, soft_wrap=True)
    passed = False
    try:
        with _terminable(), server.running() as process, Client(server.url) as client:
            console.print(f"Server: {server.url} (log: {server.log})")
            passed = _tour(client, console, out, epochs)
            console.print(f"\nTotal time: {time.monotonic() - began:.1f} s")
            if not leave:
                console.print(f"Serving on {server.url} until Ctrl-C.")
                process.wait()
                raise DemoFailed(server.log_tail(process))
    except (DemoFailed, ClientError, OSError) as error:
        Console(stderr=True, soft_wrap=True).print(str(error), markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        rest = "" if passed else " A job that was not done goes on when it starts again."
        console.print(f"\nServer stopped.{rest}")
        return 0 if passed else 130
    return 0 if passed else 1


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end this process as an exception does, so that the server is stopped too."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _tour(client: Client, console: Console, out: Path, epochs: int | None) -> bool:
    """Train, compare, draw and predict; return whether all went as well as it should."""
    jobs = _train(client, console, epochs)
    console.print(_parity(jobs))
    out.mkdir(parents=True, exist_ok=True)
    trained = {name: job for name, job in jobs.items() if job.state == State.SUCCEEDED}
    _save_pictures(client, console, out, trained)
    if relu := trained.get("mlp-relu"):
        console.print(_ten_digits(client, relu))
        _ask_about_a_drawing(console, out, relu)
        console.print(_how_to_go_on(client.base_url, relu, out), markup=False)
    return _good_enough(console, jobs)


def _train(client: Client, console: Console, epochs: int | None) -> dict[PresetName, JobHandle]:
    fields = {} if epochs is None else {"epochs": epochs}
    jobs = {preset: client.jobs.create(preset, name=preset, **fields) for preset in HAND_IN}
    console.print("Training the hand-in's three networks on MNIST:")
    try:
        client.wait_all(list(jobs.values()), progress=True)
    except (JobFailed, JobCancelled) as error:
        console.print(str(error), markup=False)
    return jobs


def _parity(jobs: dict[PresetName, JobHandle]) -> Table:
    table = Table(title="Accuracy on the 10 000 test images, and training time")
    table.add_column("preset")
    table.add_column("network")
    for column in ("hand-in's accuracy", "here", "hand-in's time", "here"):
        table.add_column(column, justify="right")
    for preset, job in jobs.items():
        theirs, final = HAND_IN[preset], job.metrics.final
        network = "-".join(str(units) for units in (784, *job.spec.hidden, 10))
        ours = [job.state.value, "-"]
        if final:
            seconds = sum(epoch.seconds for epoch in job.epochs)
            ours = [f"{final.test_accuracy * 100:.2f} %", f"{seconds:.1f} s"]
        table.add_row(preset, network, theirs.accuracy, ours[0], f"{theirs.seconds} s", ours[1])
    return table


def _save_pictures(
    client: Client, console: Console, out: Path, jobs: dict[PresetName, JobHandle]
) -> None:
    names = []
    for name, data in _pictures(client, jobs):
        (out / name).write_bytes(data)
        names.append(name)
    console.print(f"Pictures in {out}/: {', '.join(names)}\n", markup=False)


def _pictures(client: Client, jobs: dict[PresetName, JobHandle]) -> Iterator[tuple[str, bytes]]:
    yield "samples.png", client.contact_sheet()
    if jobs:
        yield "curves.png", client.curves(list(jobs.values()))
    for preset, job in jobs.items():
        yield f"curves-{preset}.png", job.curves()
        if preset != "mlp-sigmoid":  # its templates look like mlp-relu's
            yield f"weights-{preset}.png", client.models.picture(job.id, layer=1)


def _ten_digits(client: Client, job: JobHandle) -> Table:
    samples = [client.sample(index) for index in range(10)]
    predictions = job.predict([sample.pixels for sample in samples], top_k=1)
    table = Table("test image", "label", "predicted", "probability")
    for sample, prediction in zip(samples, predictions, strict=True):
        cells = (sample.index, sample.label, prediction.label, f"{prediction.probability:.3f}")
        table.add_row(*(str(cell) for cell in cells))
    return table


def _ask_about_a_drawing(console: Console, out: Path, job: JobHandle) -> None:
    path = out / "drawing.png"
    _draw_a_seven().save(path)
    prediction = job.predict(path, return_pixels=True)
    console.print(
        f"\nA 7 drawn with a thick pen, dark on light and off-centre ({path}): "
        f"predicted {prediction.label} with probability {prediction.probability:.3f}.",
        markup=False,
    )
    console.print(_what_it_saw(prediction), markup=False)


def _draw_a_seven() -> Image.Image:
    """Draw as people do in a paint program: large, dark on light, away from the centre."""
    times = 4  # drawn larger and shrunk, so that the edges are smooth
    image = Image.new("L", (500 * times, 400 * times), 255)
    pen, width = ImageDraw.Draw(image), 22 * times
    corners = [(x * times, y * times) for x, y in ((290, 70), (415, 64), (345, 240))]
    pen.line(corners, fill=40, width=width, joint="curve")
    for x, y in corners:
        pen.circle((x, y), width / 2, fill=40)
    return image.resize((500, 400), Image.Resampling.LANCZOS)


def _what_it_saw(prediction: Prediction) -> str:
    seen = prediction.input
    if seen is None or seen.pixels is None:
        return ""
    done = ["inverted it"] if seen.inverted else []
    if seen.box:
        left, top, width, height = seen.box
        done.append(f"found the ink at ({left}, {top}), {width}x{height} pixels")
    done.append("brought it into MNIST's form" if seen.normalized else "left it as it was")
    return f"The service {', '.join(done)} and saw:\n{_half_blocks(seen.pixels)}"


def _half_blocks(pixels: Sequence[Sequence[int]]) -> str:
    """Write two rows of pixels as one line of text."""
    blocks = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
    pairs = zip(pixels[::2], pixels[1::2], strict=True)
    lines = (
        "".join(blocks[upper > 100, lower > 100] for upper, lower in zip(*rows, strict=True))
        for rows in pairs
    )
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _how_to_go_on(url: str, job: JobHandle, out: Path) -> str:
    predict = f"{url}/v1/models/{job.id}/predict"
    return f"""
Go on with:
  curl --json '{{"preset": "linear", "epochs": 5}}' {url}/v1/jobs
  curl -o curves.svg {url}/v1/jobs/{job.id}/curves.svg
  curl -H 'Content-Type: image/png' --data-binary @{out}/drawing.png {predict}
All routes: {url}/docs"""


def _good_enough(console: Console, jobs: dict[PresetName, JobHandle]) -> bool:
    good = True
    for preset, job in jobs.items():
        final, least = job.metrics.final, HAND_IN[preset].least
        if final is None:
            good = False
        elif job.spec.epochs == FULL_EPOCHS and final.test_accuracy < least:
            console.print(f"{preset}: {final.test_accuracy:.2%} is less than {least:.1%}")
            good = False
    return good
