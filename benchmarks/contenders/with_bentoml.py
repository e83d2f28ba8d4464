"""BentoML: `bentoml serve` with one worker and no access log."""

import bentoml

from benchmarks.contenders.served import Network


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Digits:
    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api
    def predict(self, pixels: list[int]) -> list[float]:
        return self.network.probabilities(pixels).tolist()
