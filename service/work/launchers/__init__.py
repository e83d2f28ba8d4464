"""Implementations of `service.work.launcher.Launcher`, and what they need of the kernel."""
