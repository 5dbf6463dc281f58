"""The admin's pages of `mlops`: versions, the runs that made them, their promotions and datasets, and the schedules."""

from mlops.admin import runs, schedules, versions

__all__ = ["runs", "schedules", "versions"]
