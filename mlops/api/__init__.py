"""The doors of /api/ on this side: training runs, model versions, who put which into production, and drift."""

from mlops.api.drift import DriftSnapshotsView, DriftStatsView
from mlops.api.runs import RunsView, RunView
from mlops.api.versions import HistoryView, PromoteView, RollBackView, VersionsView, VersionView

__all__ = [
    "DriftSnapshotsView",
    "DriftStatsView",
    "HistoryView",
    "PromoteView",
    "RollBackView",
    "RunView",
    "RunsView",
    "VersionView",
    "VersionsView",
]
