"""The addresses of the pages."""

from django.urls import path

from mlops.views.correcting import keep_answers, label
from mlops.views.deciding import promote, roll_back
from mlops.views.drift import drift
from mlops.views.exports import export_file, exports_page
from mlops.views.imports import import_page, import_progress, import_refused, imports_page
from mlops.views.monitoring import monitoring
from mlops.views.overview import overview
from mlops.views.quality import quality, quality_tickets
from mlops.views.queue import queue
from mlops.views.reading import concepts, runbook
from mlops.views.samples import samples_make, samples_remove
from mlops.views.status import status
from mlops.views.trying import try_it

urlpatterns = [
    path("", overview, name="overview"),
    path("monitoring", monitoring, name="monitoring"),
    path("exports", exports_page, name="exports"),
    path("exports/<slug:what>", export_file, name="export"),
    path("imports", imports_page, name="imports"),
    path("imports/<int:number>", import_page, name="import_job"),
    path("imports/<int:number>/progress", import_progress, name="import_progress"),
    path("imports/<int:number>/refused", import_refused, name="import_refused"),
    path("samples/make", samples_make, name="samples_make"),
    path("samples/remove", samples_remove, name="samples_remove"),
    path("drift", drift, name="drift"),
    path("runbook", runbook, name="runbook"),
    path("concepts", concepts, name="concepts"),
    path("queue", queue, name="queue"),
    path("try", try_it, name="try"),
    path("quality", quality, name="quality"),
    path("quality/tickets", quality_tickets, name="quality_tickets"),
    path("quality/label", label, name="quality_label"),
    path("quality/keep-answers", keep_answers, name="quality_keep_answers"),
    path("quality/roll-back", roll_back, name="quality_roll_back"),
    path("quality/promote", promote, name="quality_promote"),
    path("status", status, name="status"),
]
