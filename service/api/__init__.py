"""The HTTP resources: requests come in, answers go out, and the store does the work in between.

A job that is submitted becomes a row in the store, where the dispatcher finds it, so nothing here
imports `service.work`. A GET never changes anything.
"""
