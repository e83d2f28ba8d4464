import inspect

import mlp_core


def test_all_public_names_are_exported_in_order():
    public = {
        name
        for name, value in vars(mlp_core).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(mlp_core.__all__) == public
    assert mlp_core.__all__ == sorted(mlp_core.__all__, key=lambda n: (not n.isupper(), n))


def test_every_error_of_the_lab_is_in_the_tree_of_its_docstring():
    from mlp_core import errors

    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert all(issubclass(value, mlp_core.CoreError) for value in classes)
    assert all(value.__name__ in (errors.__doc__ or "") for value in classes)
