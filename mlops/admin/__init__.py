"""The admin's pages of `mlops`: versions, runs and why they began, promotions, datasets, MLflow, schedules."""

from mlops.admin import aliases, decisions, runs, schedules, versions

__all__ = ["aliases", "decisions", "runs", "schedules", "versions"]
