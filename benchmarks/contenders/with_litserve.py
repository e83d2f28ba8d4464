"""LitServe: one worker, as in its documentation, without batching."""

import sys

import litserve

from benchmarks.contenders.served import Network


class Digits(litserve.LitAPI):
    def setup(self, device):
        self.network = Network()

    def decode_request(self, request):
        return request["pixels"]

    def predict(self, pixels):
        return self.network.probabilities(pixels)

    def encode_response(self, probabilities):
        return {"probabilities": probabilities.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Digits(), accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="warning",
    )
