"""The doors of /api/ on this side: training runs, model versions, and who put which into production."""

from mlops.api.runs import RunsView, RunView
from mlops.api.versions import HistoryView, PromoteView, RollBackView, VersionsView, VersionView

__all__ = ["HistoryView", "PromoteView", "RollBackView", "RunView", "RunsView", "VersionView", "VersionsView"]
