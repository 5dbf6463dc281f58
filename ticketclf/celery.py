"""The Celery application; the worker and beat are started with `celery -A ticketclf.celery`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketclf.settings")
app = Celery("ticketclf")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # the current one is known to this thread alone: a web server's others would send to nowhere
