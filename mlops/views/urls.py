"""The addresses of the pages."""

from django.urls import path

from mlops.views.drift import drift
from mlops.views.overview import overview
from mlops.views.status import status

urlpatterns = [
    path("", overview, name="overview"),
    path("drift", drift, name="drift"),
    path("status", status, name="status"),
]
