from mlp_api import Client
from mlp_api.api.jobs import create_job
from mlp_api.api.models import predict
from mlp_api.models import ImageInput, Job, Predictions, PredictRequest, Spec, SpecPresetName

with Client("http://localhost:8000") as client:
    spec = Spec(preset=SpecPresetName.MLP_SIGMOID, epochs=1)
    job = create_job.sync(client=client, body=spec)
    assert isinstance(job, Job), job  # or a Problem, which says what is wrong
    seven = PredictRequest(inputs=[ImageInput(dataset="mnist", index=0)])
    answer = predict.sync("latest", client=client, body=seven)
    assert isinstance(answer, Predictions), answer
    print(job.spec.activation.value, answer.predictions[0].label)
