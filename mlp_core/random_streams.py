"""The random numbers of a run: a stream of its own for each purpose, epoch and batch.

A stream depends on the seed and on its place in the run alone, so a resumed run needs no state of a
generator: the cursor of its checkpoint is enough.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """The purposes of random numbers. The values decide the bits of a run: never reuse one."""

    INITIALIZATION = 0
    SHUFFLING = 1
    AUGMENTATION = 2


def random_stream(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """Return the generator for a purpose and a place: an epoch, or an epoch and a batch.

    Epochs and batches are numbered from 1; the initial weights have the place 0.
    """
    sequence = np.random.SeedSequence([seed, int(purpose), *place])
    return np.random.Generator(np.random.PCG64(sequence))
