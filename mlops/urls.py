"""The addresses of /api/ that belong to runs, versions and the watch over them."""

from django.urls import path

from mlops.api import (
    DecisionsView,
    DriftSnapshotsView,
    DriftStatsView,
    HealthView,
    HistoryView,
    LiveQualityView,
    PromoteView,
    ReadyView,
    RollBackView,
    RunsView,
    RunView,
    VersionsView,
    VersionView,
)

urlpatterns = [
    path("quality/live", LiveQualityView.as_view(), name="live_quality"),
    path("health", HealthView.as_view(), name="health"),
    path("health/ready", ReadyView.as_view(), name="health_ready"),
    path("retraining/decisions", DecisionsView.as_view(), name="retrain_decisions"),
    path("runs", RunsView.as_view(), name="runs"),
    path("runs/<int:number>", RunView.as_view(), name="run"),
    path("drift/stats", DriftStatsView.as_view(), name="drift_stats"),
    path("drift/snapshots", DriftSnapshotsView.as_view(), name="drift_snapshots"),
    path("versions", VersionsView.as_view(), name="versions"),
    path("versions/history", HistoryView.as_view(), name="versions_history"),
    path("versions/roll-back", RollBackView.as_view(), name="roll_back"),
    path("versions/<int:number>", VersionView.as_view(), name="version"),
    path("versions/<int:number>/promote", PromoteView.as_view(), name="promote"),
]
