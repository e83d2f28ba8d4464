"""THE ARCHIVE: the only room that touches the database, the artifacts and the data sets.

It may import the hall, `mlp_core` and SQLAlchemy; it knows nothing of HTTP, processes or pixels.
The database row is the truth: a file counts once a committed row names it.
"""
