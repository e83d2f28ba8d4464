"""Code that lets a run use a second core, with the same bits: a second process, or a thread.

Only this package uses processes, threads and shared memory. A caller that runs a training, such as
the service's worker, creates a `TwoCoreSteps` here and passes it to `Training`.
"""
