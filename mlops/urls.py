"""The addresses of /api/ that belong to runs, versions and health."""

from django.urls import path

from mlops.api import (
    HealthView,
    HistoryView,
    PromoteView,
    ReadyView,
    RollBackView,
    RunsView,
    RunView,
    VersionsView,
    VersionView,
)

urlpatterns = [
    path("health", HealthView.as_view(), name="health"),
    path("health/ready", ReadyView.as_view(), name="health_ready"),
    path("runs", RunsView.as_view(), name="runs"),
    path("runs/<int:number>", RunView.as_view(), name="run"),
    path("versions", VersionsView.as_view(), name="versions"),
    path("versions/history", HistoryView.as_view(), name="versions_history"),
    path("versions/roll-back", RollBackView.as_view(), name="roll_back"),
    path("versions/<int:number>", VersionView.as_view(), name="version"),
    path("versions/<int:number>/promote", PromoteView.as_view(), name="promote"),
]
