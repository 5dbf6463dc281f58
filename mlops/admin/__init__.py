"""The admin's pages of `mlops`: versions, runs and why they began, promotions, datasets, drift, schedules."""

from mlops.admin import aliases, decisions, drift, imports, runs, schedules, slots, versions

__all__ = ["aliases", "decisions", "drift", "imports", "runs", "schedules", "slots", "versions"]
