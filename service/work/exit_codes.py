"""The exit codes by which a worker process tells its dispatcher why it ended early."""

STORE_EXIT = 74
"""EX_IOERR: the database or the disk failed, so the job could not continue through no fault of
its own."""
REPLACED_EXIT = 75
"""EX_TEMPFAIL: another attempt has the job now."""
