"""What the operations leave on record, by what they are about: trainings, promotions, watching."""

from mlops.models.frozen import Frozen
from mlops.models.imports import FILES_KEPT, ImportJob
from mlops.models.promotions import MAX_REASON, AliasMove, Promotion
from mlops.models.training import LEASE, MOST_ATTEMPTS, Dataset, TrainingRun
from mlops.models.watching import DriftSnapshot, RetrainDecision, Slot

__all__ = [
    "FILES_KEPT",
    "LEASE",
    "MAX_REASON",
    "MOST_ATTEMPTS",
    "AliasMove",
    "Dataset",
    "DriftSnapshot",
    "Frozen",
    "ImportJob",
    "Promotion",
    "RetrainDecision",
    "Slot",
    "TrainingRun",
]
