"""The addresses of the pages."""

from django.urls import path

from mlops.views.overview import overview
from mlops.views.status import status

urlpatterns = [
    path("", overview, name="overview"),
    path("status", status, name="status"),
]
