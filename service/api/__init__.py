"""The HTTP resources: endpoints, their documentation, and the problems that errors become.

A submitted job becomes a row in the store, where the dispatcher finds it, so nothing here imports
`service.work`. A GET request never changes anything.
"""
