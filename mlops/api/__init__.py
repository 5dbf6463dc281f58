"""The doors of /api/ on this side: training runs, why they began, model versions, and live quality."""

from mlops.api.decisions import DecisionsView
from mlops.api.quality import LiveQualityView
from mlops.api.runs import RunsView, RunView
from mlops.api.versions import HistoryView, PromoteView, RollBackView, VersionsView, VersionView

__all__ = [
    "DecisionsView",
    "HistoryView",
    "LiveQualityView",
    "PromoteView",
    "RollBackView",
    "RunView",
    "RunsView",
    "VersionView",
    "VersionsView",
]
