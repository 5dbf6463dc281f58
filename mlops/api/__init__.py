"""The doors of /api/ on this side: training runs, model versions with their promotions, and live quality."""

from mlops.api.quality import LiveQualityView
from mlops.api.runs import RunsView, RunView
from mlops.api.versions import HistoryView, PromoteView, RollBackView, VersionsView, VersionView

__all__ = [
    "HistoryView",
    "LiveQualityView",
    "PromoteView",
    "RollBackView",
    "RunView",
    "RunsView",
    "VersionView",
    "VersionsView",
]
