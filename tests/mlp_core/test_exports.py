import inspect

import mlp_core


def test_all_public_names_are_exported_in_order() -> None:
    public = {
        name
        for name, value in vars(mlp_core).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(mlp_core.__all__) == public
    assert mlp_core.__all__ == sorted(mlp_core.__all__, key=lambda n: (not n.isupper(), n))
