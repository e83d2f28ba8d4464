"""Processes: the dispatcher starts workers, and each worker trains one job.

This package imports `store`, `domain` and `mlp_core`, and never `api`: the two meet in `store`. Any
process here may end at any line; the job's row and its last checkpoint are enough to continue.
"""
