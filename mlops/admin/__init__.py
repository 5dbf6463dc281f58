"""The admin's pages of `mlops`: versions, runs, promotions, datasets, MLflow, drift, schedules."""

from mlops.admin import aliases, drift, runs, schedules, versions

__all__ = ["aliases", "drift", "runs", "schedules", "versions"]
