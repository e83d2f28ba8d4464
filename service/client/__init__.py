"""The old name of the package `mlp_client`."""

from mlp_client import *  # noqa: F403
from mlp_client import __all__ as __all__
