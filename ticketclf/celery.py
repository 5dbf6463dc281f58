"""The Celery application; the worker and beat are started with `celery -A ticketclf.celery`.

And what ties its log lines to the rest: each line of a task carries the task's id and name and, where a request caused
it, the request's. (django-structlog has receivers for that; they log the messages of exceptions.)
"""

import os
import sys
from typing import Any

import structlog
from celery import Celery, signals
from django.conf import settings

from ticketclf import logs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticketclf.settings")
app = Celery("ticketclf")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # the current one is known to this thread alone: a web server's others would send to nowhere
CAUSE = "request_id"  # in a message's headers and in a line's context


def tell_cause(headers: dict[str, Any], **_: Any) -> None:
    cause = structlog.contextvars.get_contextvars().get(CAUSE)
    if cause is not None:
        headers[CAUSE] = cause


def bind_task(task_id: str, task: Any, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)
    cause = task.request.get(CAUSE)
    if cause is not None:
        structlog.contextvars.bind_contextvars(**{CAUSE: cause})


def unbind_task(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()


def leave_logging_alone(**_: Any) -> None:
    """Django's LOGGING holds for the worker and beat as well; what is printed becomes a line of it."""
    app.log.redirect_stdouts("WARNING")


def say_that_beat_starts(**_: Any) -> None:
    logs.announce("celery.beat", f"beat starts: scheduler -> {app.conf.beat_scheduler}")


def speak_json(**_: Any) -> None:
    """Puts what the worker writes past all loggers, when a signal stops it, into the form that LOG_FORMAT asks for."""
    from celery.apps import worker  # only the worker itself pays for it

    if settings.LOG_FORMAT == "json":
        worker.safe_say = lambda text, _file=sys.__stderr__: os.write(2, f"{logs.json_line(text)}\n".encode())


signals.before_task_publish.connect(tell_cause)
signals.task_prerun.connect(bind_task)
signals.task_postrun.connect(unbind_task)
signals.setup_logging.connect(leave_logging_alone)
signals.beat_init.connect(say_that_beat_starts)
signals.celeryd_init.connect(speak_json)
