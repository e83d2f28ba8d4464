"""The calls that concern data sets: send one, watch its check, read its report, delete it."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx2

from mlp_client.calls import Call, Calls, nothing, record
from mlp_client.compact_json import compact
from mlp_client.dataset_records import DatasetList, DatasetRecord, DatasetReport, DatasetState
from mlp_client.errors import WaitTimeout
from mlp_client.image_parts import PreparedImage
from mlp_client.job_calls import OUTAGE_SECONDS
from mlp_client.spec_json import spec_json
from mlp_client.uploads import Upload, form

PATH = "/v1/datasets"
RESTING = frozenset({DatasetState.READY, DatasetState.FAILED, DatasetState.COLLECTING})
"""States that a data set does not leave by itself."""
JSON_HEADERS = {"Content-Type": "application/json"}
LOOK_SECONDS = 1
"""How long a request may wait for the end of a check; after that its progress is shown."""
MOST_IN_ADDRESS = 4000
"""Options with more letters, such as the names of many classes, are sent in a form."""
ABOUT = ("description", "license", "attribution")

Content = Callable[[Upload], Any]
"""Returns an upload in the form that the connection sends."""


def path_of(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"


def create(
    name: str, files: Sequence[Upload], options: Mapping[str, Any], content: Content
) -> Call[DatasetRecord]:
    """Send the files of a data set.

    Args:
        name: of the data set.
        files: one file, or several that belong together.
        options: those of `dataset_options.DatasetOptions` that are given.
        content: returns an upload in the form that the connection sends.

    """
    given = spec_json(options).decode()
    if len(files) == 1 and len(given) <= MOST_IN_ADDRESS:
        [file] = files
        params = {"params": {"options": given}} if options else {}
        arguments = {"content": content(file), "headers": file.headers, **params}
        return Call("PUT", path_of(name), record(DatasetRecord), arguments)
    body = form({"name": name, "options": given}, files)
    # If the answer is lost and the files are sent again, the key prevents a second set.
    headers = {**body.headers, "Idempotency-Key": uuid.uuid4().hex}
    arguments = {"content": content(body), "headers": headers}
    return Call("POST", PATH, record(DatasetRecord), arguments)


def derive(name: str, given: Mapping[str, Any]) -> Call[DatasetRecord]:
    """Make a data set of one that is there.

    Args:
        name: of the new data set.
        given: fields of `dataset_options.DerivedDataset`; those that are None are left out.

    """
    fields = {field: value for field, value in given.items() if value is not None}
    about = {field: fields.pop(field) for field in ABOUT if field in fields}
    body = spec_json({"name": name, "from": fields, **about})
    headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
    return Call("POST", PATH, record(DatasetRecord), {"content": body, "headers": headers})


def add_sample(name: str, image: PreparedImage, label: str) -> Call[DatasetRecord]:
    path = f"{path_of(name)}/samples"
    if image.file:
        headers = {"Content-Type": "application/octet-stream"}
        arguments = {"content": image.file, "headers": headers, "params": {"label": label}}
        return Call("POST", path, record(DatasetRecord), arguments)
    content = b'{"label":%b,"image":%b}' % (compact(label), image.json)
    arguments = {"content": content, "headers": JSON_HEADERS}
    return Call("POST", path, record(DatasetRecord), arguments)


def delete_sample(name: str, number: int) -> Call[None]:
    return Call("DELETE", f"{path_of(name)}/samples/{number}", nothing)


def freeze(name: str, base: str | None, options: Mapping[str, Any]) -> Call[DatasetRecord]:
    """End the collection of samples.

    Args:
        name: of the data set.
        base: the data set to which the samples are added.
        options: those of `dataset_options.DatasetOptions` that are given.

    """
    content = spec_json({"base": base, "options": options})
    arguments = {"content": content, "headers": JSON_HEADERS}
    return Call("POST", f"{path_of(name)}/freeze", record(DatasetRecord), arguments)


def all_sets() -> Call[DatasetList]:
    return Call("GET", PATH, record(DatasetList))


def get(name: str) -> Call[DatasetRecord]:
    return Call("GET", path_of(name), record(DatasetRecord))


def look(name: str) -> Call[DatasetRecord]:
    """Read a data set that is being checked, at its end or after `LOOK_SECONDS`."""
    params = {"params": {"wait": LOOK_SECONDS}}
    return Call("GET", path_of(name), record(DatasetRecord), params, patience=OUTAGE_SECONDS)


def until_resting(data: DatasetRecord, timeout: float | None) -> Calls[DatasetRecord]:
    """Yield the calls that read a data set until its check has ended.

    Raises:
        WaitTimeout: the time is over.

    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while data.state not in RESTING:
        if deadline is not None and time.monotonic() > deadline:
            raise WaitTimeout([data.name], timeout or 0, "The check goes on.")
        data = yield look(data.name)


def changed(message: httpx2.ServerSentEvent, last: DatasetRecord | None) -> DatasetRecord | None:
    """Return the record of an event of a data set's stream, or None if it says nothing new.

    Raises:
        ValueError: its data is not a record.

    """
    if message.event != "dataset":
        return None
    data = DatasetRecord.model_validate_json(message.data)
    return None if data == last else data


def report(name: str) -> Call[DatasetReport]:
    return Call("GET", f"{path_of(name)}/report", record(DatasetReport))


def delete(name: str, force: bool) -> Call[None]:
    params = {"params": {"force": True}} if force else {}
    return Call("DELETE", path_of(name), nothing, params)
