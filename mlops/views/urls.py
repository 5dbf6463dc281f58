"""The addresses of the pages."""

from django.urls import path

from mlops.views.monitoring import monitoring
from mlops.views.overview import overview
from mlops.views.queue import queue
from mlops.views.status import status
from mlops.views.trying import try_it

urlpatterns = [
    path("", overview, name="overview"),
    path("monitoring", monitoring, name="monitoring"),
    path("queue", queue, name="queue"),
    path("try", try_it, name="try"),
    path("status", status, name="status"),
]
