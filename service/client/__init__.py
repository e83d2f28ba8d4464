"""The former name of the package `mlp_client`: `from service.client import Client` still works."""

from mlp_client import *  # noqa: F403
from mlp_client import __all__ as __all__
