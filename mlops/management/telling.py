"""What the commands of mlops share besides tables: progress on standard error, and failures in one line."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from django.conf import settings
from django.core.management.base import OutputWrapper

from classifier.bodies import is_unicode
from classifier.management.base import BadUsage, Refused
from classifier.models import User
from classifier.reading import UnreadableFile
from mlops import reconciling
from mlops.models import MAX_REASON
from mlops.promotion import NothingToRollBackTo, NotPromotable, PromotionConflict
from mlops.runs import LostRun, RunInProgress
from mlops.tracking import NotRecorded
from mlops.training import CannotLearn, UnfaithfulModel

EXPECTED = (
    RunInProgress,
    LostRun,
    CannotLearn,
    UnfaithfulModel,
    NotPromotable,
    PromotionConflict,
    NothingToRollBackTo,
)


@contextlib.contextmanager
def stopped_by_hand() -> Iterator[None]:
    """Takes a polite stop and a closed terminal for what they are, a Ctrl-C: who stops a run does not want it again.

    Otherwise the process would die without a word, and a worker would begin its run anew.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup asks to outlive the terminal
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def failures_in_one_line() -> Iterator[None]:
    """Turns what is expected to go wrong into Refused and BadUsage; what is not keeps its traceback."""
    try:
        yield
    except UnreadableFile as error:
        raise BadUsage(str(error)) from error
    except EXPECTED as error:
        raise Refused(str(error)) from error
    except BrokenPipeError:  # whoever read our output went away: nothing to mend on the disk
        raise
    except OSError as error:
        raise BadUsage(
            f"{settings.VAR} must be a folder with room to write in; the system says: {error.strerror or error}. "
            "Make room, or name another folder in TICKETCLF_VAR."
        ) from error


def person(name: str | None) -> User | None:
    """The user of that name, on whose behalf a command acts; None without a name. Raises BadUsage."""
    if name is None:
        return None
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise BadUsage(f"--by must name an active user; {name!r} is none. manage.py createsuperuser makes one.")
    return found


def sentence(reason: str) -> str:
    """What --reason gave, as it is kept. Raises BadUsage for an empty one, a long one, and bytes that are no text."""
    found = reason.strip()
    if not found:
        raise BadUsage("--reason must say why in a sentence; it is empty.")
    if len(found) > MAX_REASON:
        raise BadUsage(f"--reason may have at most {MAX_REASON:,} characters; it has {len(found):,}. Shorten it.")
    if not is_unicode(found):  # a shell's bytes that are no UTF-8
        raise BadUsage("--reason must be text in UTF-8; it has bytes that are not.")
    return found


def let_alias_follow(warn: Callable[[str], None]) -> None:
    """Lets MLflow's alias follow a promotion; if it cannot, that is a line of warning, for the promotion is made."""
    try:
        reconciling.follow()
    except (NotRecorded, reconciling.Busy) as error:
        warn(f"Warning: MLflow's alias does not follow yet; beat sees to it, or manage.py reconcile. {error}")


def plainly(stream: OutputWrapper) -> Callable[[str], None]:
    """Writes lines to a command's standard error as they are; Django would print them red, as errors."""
    return lambda line: stream.write(line, style_func=str)
