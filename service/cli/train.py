"""`mlp-service train`: submit a job, watch it, and print where its results are."""

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from service.cli.extra_fields import with_extra_fields
from service.cli.options import Json, Url, given
from service.cli.tables import print_json
from service.cli.terminal import counted, echo_lines, errors_as_messages, printable

if TYPE_CHECKING:
    from mlp_client import JobHandle

ExtraFields = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Any other field of the spec, with its value as JSON or as a word: "
        "optimizer=adamw, schedule=cosine, 'augmentation={}', l2=1e-4. May be repeated.",
        show_default="none",
    ),
]


def _field(help_: str) -> Any:
    """Return an option that sets a field of the spec."""
    return typer.Option(help=help_, show_default="of the preset")


class EachOptionOnce(TyperCommand):
    """A command that refuses a repeated option; Typer would silently use the last one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            if order.count(param) > 1 and not getattr(param, "multiple", False):
                hint = (
                    " Layers are a single list: --hidden 30,20." if param.name == "hidden" else ""
                )
                ctx.fail(f"{param.opts[0]} is given twice; leave one out.{hint}")
        return super().parse_args(ctx, args)


Preset = Annotated[
    str | None,
    typer.Option(help="linear, mlp-relu, mlp-sigmoid or mlp-augmented.", show_default="mlp-relu"),
]


def train(
    preset: Preset = None,
    dataset: Annotated[
        str | None, _field("Name of the data set, as `mlp-service datasets list` shows it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name for lists and pictures.", show_default="none")
    ] = None,
    hidden: Annotated[
        str | None, _field("Units of each hidden layer, such as 128,64; '' is the linear model.")
    ] = None,
    activation: Annotated[str | None, _field("relu, sigmoid or tanh.")] = None,
    epochs: Annotated[int | None, _field("Passes over the training set.")] = None,
    batch_size: Annotated[int | None, _field("Images in a mini-batch.")] = None,
    learning_rate: Annotated[float | None, _field("Learning rate.")] = None,
    seed: Annotated[int | None, _field("Seed of all random numbers.")] = None,
    extra: ExtraFields = [],  # noqa: B006  (never changed)
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Submit the job and exit.", show_default="off")
    ] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Submit a job, watch it, and print where its results are. Ctrl-C does not stop the job."""
    options: dict[str, Any] = {
        "preset": preset,
        "dataset": dataset,
        "name": name,
        "hidden": hidden,
        "activation": activation,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    try:
        fields = spec_fields(given(options), extra)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    _submit(fields, url, wait=not no_wait, as_json=as_json)


def _submit(fields: dict[str, Any], url: str | None, *, wait: bool, as_json: bool) -> None:
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        job = client.jobs.create(**fields)
        if not (as_json and wait):
            _print_submitted(job, as_json=as_json)
        if not wait:
            echo_lines(follow_up_commands(job), err=True)  # scripts read the URL from stdout
            return
        try:
            job.wait(progress=True)
        except KeyboardInterrupt:
            stopped = "Stopped waiting; the job continues."
            echo_lines([stopped, *follow_up_commands(job)], err=True)
            raise typer.Exit(130) from None
        if as_json:
            print_json([job.data])
        else:
            echo_lines(result_lines(job, client.base_url))


def _print_submitted(job: "JobHandle", *, as_json: bool) -> None:
    if as_json:
        print_json([job.data])
    else:
        typer.echo(job.url)


def spec_fields(options: dict[str, Any], extra: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a spec.

    Args:
        options: values of the command's own options, by field; `hidden` is still text.
        extra: further fields, each as FIELD=VALUE.

    Raises:
        ValueError: a value is invalid, or a field is given twice.

    """
    fields = dict(options)
    if "hidden" in fields:
        fields["hidden"] = _parse_integers(fields["hidden"])
    return {"preset": "mlp-relu"} | with_extra_fields(fields, extra)


def _parse_integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise ValueError(
            f"--hidden: {text!r} is not a list of whole numbers such as 128,64"
        ) from None


def result_lines(job: "JobHandle", server: str) -> list[str]:
    """Return lines about a job that succeeded: its accuracy and where its results are.

    Args:
        job: the job.
        server: address of its server, which the printed command names unless it is the default.

    """
    from mlp_client.client import DEFAULT_URL

    lines = []
    if job.metrics.final:
        seconds = sum(epoch.seconds for epoch in job.epochs())
        accuracy, epochs = job.metrics.final.test_accuracy, counted(job.spec.epochs, "epoch")
        lines.append(f"test accuracy {accuracy:.2%} after {epochs}, {seconds:.1f} s")
    if job.reason and job.reason.code in ("learned_nothing", "learned_little"):
        lines.append(printable(job.reason.message))
    url = "" if server == DEFAULT_URL else f"--url {shlex.quote(server)} "
    return [
        *lines,
        f"curves   {job.url}/curves.png",
        f"weights  {job.url.replace('/jobs/', '/models/')}/weights.safetensors",
        f"predict  mlp-service predict --model {job.id} {url}IMAGE...",
    ]


def follow_up_commands(job: "JobHandle") -> list[str]:
    """Return commands that watch and cancel a job."""
    key = ' -H "Authorization: Bearer $MLP_API_KEY"' if os.environ.get("MLP_API_KEY") else ""
    url = shlex.quote(job.url)
    return [f"watch    curl -N{key} {url}/events", f"cancel   curl -X POST{key} {url}/cancel"]
