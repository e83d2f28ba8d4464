"""MLServer: a custom model in the server's process over the V2 protocol, without access log."""

import asyncio
import sys

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.contenders.served import Network


class Digits(MLModel):
    async def load(self) -> bool:
        self.network = Network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        pixels = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("probabilities", self.network.probabilities(pixels))
        return InferenceResponse(model_name=self.name, outputs=[output])


async def serve(port: int) -> None:
    settings = Settings(
        debug=False,
        parallel_workers=0,
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_port=port + 2,
    )
    await MLServer(settings).start([ModelSettings(name="digits", implementation=Digits)])


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
