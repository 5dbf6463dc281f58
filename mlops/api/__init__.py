"""The doors of /api/ on this side: runs, versions with their promotions, drift, live quality, health, metrics."""

from mlops.api.decisions import DecisionsView
from mlops.api.drift import DriftSnapshotsView, DriftStatsView
from mlops.api.health import HealthView, ReadyView
from mlops.api.quality import LiveQualityView
from mlops.api.runs import RunsView, RunView
from mlops.api.scraping import metrics
from mlops.api.versions import HistoryView, PromoteView, RollBackView, VersionsView, VersionView

__all__ = [
    "DecisionsView",
    "DriftSnapshotsView",
    "DriftStatsView",
    "HealthView",
    "HistoryView",
    "LiveQualityView",
    "PromoteView",
    "ReadyView",
    "RollBackView",
    "RunView",
    "RunsView",
    "VersionView",
    "VersionsView",
    "metrics",
]
