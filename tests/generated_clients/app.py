"""An app that uses the client of openapi-python-client as its author would; prints what it got."""

import io
import json
import sys
import time
from pathlib import Path
from typing import TypeVar

from mlp_api import Client
from mlp_api.api.jobs import (
    act_on_job,
    create_job,
    get_job,
    list_epochs,
    list_jobs,
    stream_events,
)
from mlp_api.api.models import get_weights, predict, predict_array
from mlp_api.api.pictures import draw_job_curves
from mlp_api.models import (
    ActOnJobAction,
    AdamW,
    Augmentation,
    DrawJobCurvesFormat,
    GetWeightsFormat,
    ImageInput,
    Job,
    JobList,
    PredictForm,
    Predictions,
    PredictRequest,
    Problem,
    Sgd,
    Spec,
    SpecActivation,
    SpecOptimizerName,
    SpecPresetName,
    State,
    StateEventData,
)
from mlp_api.types import File, Unset

T = TypeVar("T")
URL, PICTURE, ARRAY = sys.argv[1:]
client = Client(URL, raise_on_unexpected_status=True)
shown: dict[str, object] = {}


def ok(answer: T | Problem | None) -> T:
    """Return a successful answer with its type."""
    if answer is None or isinstance(answer, Problem):
        raise SystemExit(f"failed: {answer}")
    return answer


def submit(spec: Spec) -> Job:
    return ok(create_job.sync(client=client, body=spec))


def trained(job: Job) -> Job:
    while job.finished_at is None:
        time.sleep(0.1)
        found = ok(get_job.sync(job.id, client=client))
        assert isinstance(found, Job)
        job = found
    return job


def resolved(spec: Spec) -> dict[str, object]:
    """Submit a spec, cancel its job, and return the spec as the service understood it."""
    job = submit(spec)
    ok(act_on_job.sync(job.id, ActOnJobAction.CANCEL, client=client))
    understood: dict[str, object] = job.spec.to_dict()
    return understood


def labels(found: Predictions) -> list[int | Unset]:
    return [each.label for each in found.predictions]


# Specs: fields that are not given stay what the preset says.
PRESET = SpecPresetName
job = trained(submit(Spec(preset=PRESET.MLP_SIGMOID, epochs=1, batch_size=512)))
shown["trained"] = job.spec.to_dict()
shown["state"] = job.state == State.SUCCEEDED
shown["sigmoid"] = resolved(Spec(preset=PRESET.MLP_SIGMOID))
shown["linear"] = resolved(Spec(preset=PRESET.LINEAR, optimizer=Sgd(momentum=0.9)))
shown["defaults"] = resolved(Spec())
shown["name"] = resolved(Spec(optimizer=SpecOptimizerName.ADAMW, hidden=[8]))
adamw = AdamW(type_="adamw", weight_decay=0.1)
shown["object"] = resolved(Spec(optimizer=adamw, activation=SpecActivation.TANH, hidden=[8]))
shown["augmented"] = resolved(Spec(augmentation=Augmentation(rotation=5), hidden=[8]))
shown["plain"] = resolved(Spec(preset=PRESET.MLP_AUGMENTED, hidden=[8], augmentation=None))

# Lists, page by page; with fields=summary they would be of type JobSummaryList.
page = ok(list_jobs.sync(client=client, limit=3))
assert isinstance(page, JobList)
ended = [State.SUCCEEDED, State.CANCELLING, State.CANCELLED]
rest = ok(list_jobs.sync(client=client, after=page.last_id, state=ended))
assert isinstance(rest, JobList)
shown["pages"] = [len(page.data), page.has_more, len(rest.data)]
shown["epochs"] = [each.epoch for each in ok(list_epochs.sync(job.id, client=client)).data]

# The events of a job that has ended: the text of the stream, and types for the data in it.
stream = ok(stream_events.sync(job.id, client=client))
assert isinstance(stream, str)
lines = stream.splitlines()
data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
entered = [StateEventData.from_dict(data[number]).state.value for number in (0, 1, -1)]
shown["events"] = [len(data), entered]

# Predictions: from a form, from bytes without a type, from JSON, and as an array.
picture = File(payload=io.BytesIO(Path(PICTURE).read_bytes()), file_name="seven.png")
form = ok(predict.sync("latest", client=client, body=PredictForm(image=[picture, picture])))
shown["form"] = labels(form)
array = File(payload=io.BytesIO(Path(ARRAY).read_bytes()))
shown["bytes"] = labels(ok(predict.sync(job.id, client=client, body=array, top_k=1)))
inputs = [ImageInput(dataset="mnist", index=0), ImageInput(base64="nonsense")]
answer = predict.sync_detailed("latest", client=client, body=PredictRequest(inputs=inputs))
found = ok(answer.parsed)
shown["json"] = labels(found)[:1]
shown["problem"] = isinstance(found.predictions[1].problem, Problem)
shown["network"] = [found.model, found.epochs_done, answer.headers["Model"]]
file = ok(predict_array.sync("latest", client=client, body=PredictRequest(inputs=inputs)))
shown["array"] = file.payload.read(6).hex()

# Files, and errors.
curves = ok(draw_job_curves.sync(job.id, DrawJobCurvesFormat.PNG, client=client))
weights = ok(get_weights.sync(job.id, GetWeightsFormat.NPZ, client=client))
assert isinstance(curves, File)
assert isinstance(weights, File)
shown["files"] = [curves.payload.read(4).hex(), weights.payload.read(2).hex()]
missing = get_job.sync("job_missing", client=client)
shown["missing"] = missing.code if isinstance(missing, Problem) else ""
client.get_httpx_client().close()
print(json.dumps(shown))
