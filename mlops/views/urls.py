"""The addresses of the pages."""

from django.urls import path

from mlops.views.monitoring import monitoring
from mlops.views.overview import overview
from mlops.views.status import status

urlpatterns = [
    path("", overview, name="overview"),
    path("monitoring", monitoring, name="monitoring"),
    path("status", status, name="status"),
]
