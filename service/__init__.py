"""Train, watch and query multi-layer perceptrons over HTTP."""

__version__ = "0.1.0"
