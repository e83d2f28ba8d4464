"""The exit codes of a worker process that ends before its attempt does."""

STORE_EXIT = 74
"""EX_IOERR: the database or the disk failed, which is not counted as a lost worker."""
REPLACED_EXIT = 75
"""EX_TEMPFAIL: another attempt has the job now."""
