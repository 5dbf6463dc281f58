"""The addresses of /api/ that belong to runs and versions."""

from django.urls import path, register_converter
from django.urls.converters import IntConverter

from mlops.api import HistoryView, PromoteView, RollBackView, RunsView, RunView, VersionsView, VersionView


class NumberConverter(IntConverter):
    """A whole number that every database's columns hold: a longer one is no address."""

    regex = "[0-9]{1,9}"


register_converter(NumberConverter, "number")

urlpatterns = [
    path("runs", RunsView.as_view(), name="runs"),
    path("runs/<number:number>", RunView.as_view(), name="run"),
    path("versions", VersionsView.as_view(), name="versions"),
    path("versions/history", HistoryView.as_view(), name="versions_history"),
    path("versions/roll-back", RollBackView.as_view(), name="roll_back"),
    path("versions/<number:number>", VersionView.as_view(), name="version"),
    path("versions/<number:number>/promote", PromoteView.as_view(), name="promote"),
]
