"""An app that uses the service with a plain HTTP client."""

import httpx

from tests.support.server_process import Server


def test_an_app_with_plain_httpx_trains_watches_and_predicts(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        spec = {"preset": "linear", "epochs": 2, "batch_size": 512}
        made = http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": "mine"})
        assert made.status_code == 201
        links = made.json()["links"]
        events = []
        with http.stream("GET", links["events"]) as stream:
            events += [line for line in stream.iter_lines() if line.startswith("event: ")]
        assert events.count("event: epoch") == 2
        job = http.get(made.headers["Location"]).json()
        assert job["state"] == "succeeded"
        assert len(http.get(links["epochs"]).json()["data"]) == 2
        assert http.get(links["curves"]).content[:4] == b"\x89PNG"
        assert http.get(links["weights"]).content[:4] == b"\x89PNG"
        seven = http.get("/v1/datasets/mnist/test/0.png").content
        answer = http.post(links["predict"], files=[("image", ("seven.png", seven))])
        assert answer.json()["predictions"][0]["label"] == 7
