"""The addresses of the pages."""

from django.urls import path

from mlops.views.correcting import keep_answers, label
from mlops.views.deciding import promote, roll_back
from mlops.views.monitoring import monitoring
from mlops.views.overview import overview
from mlops.views.quality import quality, quality_tickets
from mlops.views.status import status

urlpatterns = [
    path("", overview, name="overview"),
    path("monitoring", monitoring, name="monitoring"),
    path("quality", quality, name="quality"),
    path("quality/tickets", quality_tickets, name="quality_tickets"),
    path("quality/label", label, name="quality_label"),
    path("quality/keep-answers", keep_answers, name="quality_keep_answers"),
    path("quality/roll-back", roll_back, name="quality_roll_back"),
    path("quality/promote", promote, name="quality_promote"),
    path("status", status, name="status"),
]
