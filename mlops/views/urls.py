"""The addresses of the pages."""

from django.urls import path

from mlops.views.drift import drift
from mlops.views.overview import overview
from mlops.views.reading import concepts, runbook
from mlops.views.status import status

urlpatterns = [
    path("", overview, name="overview"),
    path("drift", drift, name="drift"),
    path("runbook", runbook, name="runbook"),
    path("concepts", concepts, name="concepts"),
    path("status", status, name="status"),
]
