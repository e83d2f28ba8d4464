"""Implementations of the interfaces in `service.work.launcher`."""
