"""The doors of /api/ on this side: runs, versions, who put which into production, health; and /metrics."""

from mlops.api.health import HealthView, ReadyView
from mlops.api.runs import RunsView, RunView
from mlops.api.scraping import metrics
from mlops.api.versions import HistoryView, PromoteView, RollBackView, VersionsView, VersionView

__all__ = [
    "HealthView",
    "HistoryView",
    "PromoteView",
    "ReadyView",
    "RollBackView",
    "RunView",
    "RunsView",
    "VersionView",
    "VersionsView",
    "metrics",
]
