"""The environment that decides the bits of a run."""

import numpy as np

from service.work.numeric_environment import numeric_environment


def test_the_environment_is_what_decides_the_bits() -> None:
    found = numeric_environment()
    assert found["numpy"] == np.__version__
    assert isinstance(found["arithmetic"], int)
    assert any("openblas" in library for library in found["blas"])
