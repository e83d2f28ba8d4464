import inspect

from mlp_core import CoreError, errors


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert all(issubclass(value, CoreError) for value in classes)
    assert all(value.__name__ in (errors.__doc__ or "") for value in classes)
