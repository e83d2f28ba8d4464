"""The kinds of work beside jobs that wait in queues of their own."""

from enum import StrEnum


class TaskKind(StrEnum):
    """What a worker is started for that trains no job."""

    DATASET_CHECK = "dataset_check"
    EVALUATION = "evaluation"
