"""The WSGI application that granian serves."""

import os

from django.core.wsgi import get_wsgi_application

from ticketclf import celery

__all__ = ["application", "celery"]  # the Celery application: without it, what a page or the API sends goes nowhere
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketclf.settings")
application = get_wsgi_application()
