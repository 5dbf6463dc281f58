"""Door of serving.up."""

from typing import Any

from classifier.management.base import BadUsage, Refused, TicketclfCommand
from mlops import serving
from mlops.reserving import CannotStart
from mlops.supervisor import GaveUp


class Command(TicketclfCommand):
    help = (
        "Start the web server, the Celery worker, Celery beat and, unless REDIS_URL names a broker, an embedded "
        "Valkey; start again what dies, and stop all of them on Ctrl-C or SIGTERM. The environment says how: API_HOST, "
        "API_PORT, WEB_THREADS, WORKER_PROCESSES, TICKETCLF_VAR. Exit codes: 0 stopped as told; 1 the web server "
        "cannot start; 2 it cannot run here (port or folder in use, migrations missing)."
    )
    has_json = False

    def handle(self, **options: Any) -> None:
        try:
            with serving.reserved() as lock:
                serving.up(lock, say=self.say_at_once)
        except CannotStart as error:
            raise BadUsage(str(error)) from None
        except GaveUp as error:
            raise Refused(str(error)) from None

    def say_at_once(self, text: str) -> None:
        self.say(text)
        self.stdout.flush()  # a pipe or a file gets it now too, not after 8 kB
