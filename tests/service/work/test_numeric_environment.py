"""The environment that, with the spec, decides the bits of a run."""

import numpy as np

from service.work.numeric_environment import numeric_environment


def test_the_environment_names_arithmetic_numpy_and_blas() -> None:
    found = numeric_environment()
    assert found["numpy"] == np.__version__
    assert isinstance(found["arithmetic"], int)
    assert any("openblas" in library for library in found["blas"])
