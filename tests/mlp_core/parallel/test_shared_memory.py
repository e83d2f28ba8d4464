import socket

import numpy as np
import pytest

from mlp_core.parallel.shared_memory import PeerLost, SharedState, Side


def test_waiting_for_a_process_that_has_ended_fails() -> None:
    own_end, other_end = socket.socketpair()
    other_end.close()
    state = SharedState({"layers.1.bias": np.zeros(64, np.float32)}, 1, 1)
    side = Side(1, slice(32, 64), state, own_end)
    with own_end, pytest.raises(PeerLost):
        side.wait(0, 1)
