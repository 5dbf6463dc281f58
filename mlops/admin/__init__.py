"""The admin's pages of `mlops`: versions, the runs that made them, their promotions and datasets, MLflow, schedules."""

from mlops.admin import aliases, runs, schedules, slots, versions

__all__ = ["aliases", "runs", "schedules", "slots", "versions"]
