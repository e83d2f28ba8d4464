"""`mlp-service datasets`: send data sets, list them, read their reports, delete them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.dataset_report import REPORT_COLUMNS, report_rows, summary
from service.cli.extra_fields import with_extra_fields
from service.cli.options import Json, Url, given
from service.cli.tables import print_json, print_rows
from service.cli.terminal import (
    each_or_exit,
    echo_lines,
    errors_as_messages,
    is_interactive,
    printable,
)

if TYPE_CHECKING:
    from mlp_client import DatasetHandle

app = typer.Typer(
    help="Send data sets of your own, and see what was found in them.", no_args_is_help=True
)
COLUMNS = ("name", "state", "training", "test", "classes", "shape", "warnings")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the data set.")]
Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="A file; a folder, which is sent as a zip, or file by file if it has those of MNIST's "
        "format; or several files that belong together.",
    ),
]
FOUND = "what is found"
TestShare = Annotated[
    float | None,
    typer.Option(help="Share of the rows to test on, chosen by chance.", show_default=FOUND),
]
Size = Annotated[
    str | None,
    typer.Option(help="Height and width of the images: 28 or 28x20.", show_default=FOUND),
]
Invert = Annotated[
    bool | None,
    typer.Option(help="Whether the images are black on white.", show_default=FOUND),
]
Normalize = Annotated[
    bool,
    typer.Option(
        "--normalize",
        help="Bring photographs of letters or digits into MNIST's form.",
        show_default="off",
    ),
]
IgnoredColumns = Annotated[
    list[str],
    typer.Option(
        metavar="COLUMN",
        help="A column of a table to leave out, such as id or filename. May be repeated.",
        show_default="none",
    ),
]
OtherOptions = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="OPTION=VALUE",
        help="Any other option, with its value as JSON or as a word: split=none, color=keep, "
        '\'classes=["cat", "dog"]\'. May be repeated.',
        show_default="none",
    ),
]
KeptClasses = Annotated[
    list[str],
    typer.Option(
        "--class",
        metavar="CLASS",
        help="A class to keep. May be repeated; the order is the new one.",
        show_default="all",
    ),
]


@app.command()
def add(
    name: Name,
    paths: Paths,
    test: TestShare = None,
    size: Size = None,
    invert: Invert = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="Swap rows and columns.", show_default="off")
    ] = False,
    normalize: Normalize = False,
    ignore_column: IgnoredColumns = [],  # noqa: B006  (never changed)
    extra: OtherOptions = [],  # noqa: B006  (never changed)
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Send the files and exit.", show_default="off"),
    ] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Send files that are to become a data set, and print what was found in them."""
    options: dict[str, Any] = {
        "split": None if test is None else {"test": test},
        "size": size,
        "invert": invert,
        "transpose": transpose or None,
        "normalize": normalize or None,
        "ignore_columns": ignore_column or None,
    }
    try:
        fields = with_extra_fields(given(options), extra)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    source: Any = paths[0] if len(paths) == 1 else paths
    _add(name, source, fields, url, wait=not no_wait, as_json=as_json)


def _add(
    name: str, source: Any, fields: dict[str, Any], url: str | None, *, wait: bool, as_json: bool
) -> None:
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        made = client.datasets.create(name, source, progress=True if wait else None, **fields)
        _show(made, wait=wait, as_json=as_json)


@app.command()
def derive(
    name: Name,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The data set that is there.")],
    rows: Annotated[
        int | None,
        typer.Option(
            help="At most so many training rows of each class, by chance.", show_default="all"
        ),
    ] = None,
    classes: KeptClasses = [],  # noqa: B006  (never changed)
    test: Annotated[
        float | None,
        typer.Option(
            help="Share of all rows to test on, to divide them anew.", show_default="as they are"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of what is drawn by chance.", show_default="1")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Ask for it and exit.", show_default="off")
    ] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Make a data set of another one: fewer rows, some classes, or a new split."""
    from mlp_client import Client

    options: dict[str, Any] = given(
        {
            "rows": rows,
            "seed": seed,
            "classes": classes or None,
            "split": None if test is None else given({"test": test, "seed": seed}),
        }
    )
    with errors_as_messages(), Client(url) as client:
        made = client.datasets.derive(name, source, **options)
        _show(made, wait=not no_wait, as_json=as_json)


def _show(made: "DatasetHandle", *, wait: bool, as_json: bool) -> None:
    """Print a new data set, after its check if that is waited for."""
    if wait:
        _wait(made)
    if as_json:
        print_json([made.data])
    elif wait:
        echo_lines(summary(made.data, made.report()))
    else:
        typer.echo(made.url)


def _wait(made: "DatasetHandle") -> None:
    try:
        made.wait(progress=True)
    except KeyboardInterrupt:
        typer.echo("Stopped waiting; the check goes on.", err=True)
        raise typer.Exit(130) from None


@app.command("list")
def list_sets(as_json: Json = False, url: Url = None) -> None:
    """List the data sets: name, state, rows, classes, shape, and number of warnings."""
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        found = client.datasets.list()
    if as_json:
        print_json([it.data for it in found])
    else:
        print_rows(COLUMNS, [_row(it) for it in found], wrapped=["name"])


@app.command()
def report(name: Name, as_json: Json = False, url: Url = None) -> None:
    """Print what was found in the files of a data set, what was ignored, and what is doubtful."""
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        found = client.datasets.get(name).report()
    if as_json:
        print_json([found])
    else:
        print_rows(REPORT_COLUMNS, report_rows(found), wrapped=REPORT_COLUMNS[1:])


@app.command()
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Names of the data sets.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Delete it although networks were trained on it; they can still predict.",
            show_default="off",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask.", show_default="asks on a terminal")
    ] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Delete data sets. One that can't be deleted does not keep the others from it."""
    from mlp_client import Client

    if not yes and is_interactive():
        typer.confirm(f"Delete {', '.join(names)}?", abort=True)
    with errors_as_messages(), Client(url) as client:

        def delete_one(name: str) -> None:
            client.datasets.get(name).delete(force=force)
            deleted = json.dumps({"name": name, "deleted": True})
            typer.echo(deleted if as_json else f"{printable(name)} deleted")

        each_or_exit(names, delete_one, ["--force"])


def _row(dataset: "DatasetHandle") -> tuple[str, ...]:
    data = dataset.data
    return (
        data.name,
        data.state.value,
        *("-" if rows is None else str(rows) for rows in (data.train_rows, data.test_rows)),
        str(len(dataset.classes)) if dataset.classes else "-",
        "x".join(map(str, data.shape)) if data.shape else "-",
        str(data.warnings),
    )
