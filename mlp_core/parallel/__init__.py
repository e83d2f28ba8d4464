"""What lets one run use a second core: the same bits from two processes, or from a thread.

Only this folder knows operating-system processes, threads and shared memory. Whoever runs a
training, such as the service's worker, makes the steps here and hands them to `Training`.
"""
