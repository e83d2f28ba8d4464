"""The random numbers of a run: a stream of its own for each purpose, epoch and batch.

A stream depends on the seed and on its place in the run alone, so a resumed run needs no state of a
generator: the cursor of its checkpoint is enough.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for. The values are part of the bits of a run: never reuse one."""

    INITIALIZATION = 0
    SHUFFLING = 1
    AUGMENTATION = 2


def random_stream(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """The generator for a purpose at a place: an epoch, or an epoch and a batch, both from 1."""
    sequence = np.random.SeedSequence([seed, int(purpose), *place])
    return np.random.Generator(np.random.PCG64(sequence))
