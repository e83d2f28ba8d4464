"""`mlp-service hosts`: list the machines that train the jobs of a service."""

from typing import TYPE_CHECKING

import typer

from service.cli.options import Json, Url
from service.cli.tables import print_json, print_rows
from service.cli.terminal import errors_as_messages, printable

if TYPE_CHECKING:
    from mlp_client.system_record import Host

COLUMNS = ("host", "slots", "busy", "memory", "version", "since", "last seen")


def hosts(as_json: Json = False, url: Url = None) -> None:
    """List the hosts of a service: name, slots, busy ones, memory for a job, version and times."""
    from mlp_client import Client

    with errors_as_messages(), Client(url) as client:
        found = client.system()
    listed = found.hosts or []
    if as_json:
        print_json(listed)
    else:
        print_rows(COLUMNS, [_row(host) for host in listed], wrapped=["host"])
    if found.slots is None:
        typer.echo("A key is needed to learn which hosts there are.", err=True)
    elif found.hosts is None and found.jobs is None:
        typer.echo("The key may not read which hosts there are.", err=True)
    elif found.hosts is None:
        typer.echo("There are no hosts: the server trains all jobs itself.", err=True)
    elif not listed:
        typer.echo("There are no hosts; start some with `mlp-service work`.", err=True)


def _row(host: "Host") -> tuple[str, ...]:
    return (
        printable(host.name),
        str(host.slots),
        str(host.busy),
        f"{host.memory / 1024**3:.1f} GiB",
        host.version,
        f"{host.started_at:%Y-%m-%d %H:%M:%SZ}",
        f"{host.seen_at:%Y-%m-%d %H:%M:%SZ}",
    )
