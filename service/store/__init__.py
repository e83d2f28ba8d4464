"""The store: the only package that touches the database, the artifacts and the data sets.

It knows nothing of HTTP, processes or pictures. The database row is the truth: a file counts once a
committed row names it.
"""
