"""Beat's scheduler with a real Valkey: each moment sent once, and none lost to a broker or a database that is away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab

from mlops import beat
from mlops.beat import SlotEntry, SlotScheduler, due_minute, floored
from mlops.broker import Broker, embedded
from mlops.models import Slot
from tests.mlops.making import NOW
from tests.mlops.up import until

# Beat closes connections that are in a transaction, as those of other tests are.
pytestmark = pytest.mark.django_db(transaction=True)
SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
TASK = "mlops.tasks.heartbeat"


class Valkey:
    """A broker that can be ended and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.broker: Broker = embedded(folder)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.broker.command, stdout=subprocess.DEVNULL)
        until(self.broker.answers, seconds=10, what="Valkey answers")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def messages(self) -> list[dict[str, Any]]:
        """The headers of what was sent, the oldest first; they are taken out."""
        with redis.Redis.from_url(self.broker.url) as client:
            found = [json.loads(message)["headers"] for message in reversed(client.lrange("default", 0, -1))]
            client.delete("default")
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    found = Valkey(tmp_path_factory.mktemp("valkey"))
    yield found
    found.stop()


@pytest.fixture
def valkey(server: Valkey) -> Valkey:
    server.messages()
    return server


@pytest.fixture
def make_beat(valkey: Valkey) -> Iterator[Callable[[], SlotScheduler]]:
    """Starts a beat that knows the schedules of the database as they are now."""
    with Celery("beats of a test", broker=valkey.broker.url, set_as_current=False) as app:
        app.conf.update(
            task_default_queue="default",
            result_expires=None,
            broker_transport_options=settings.CELERY_BROKER_TRANSPORT_OPTIONS,
        )
        made: list[SlotScheduler] = []

        def make() -> SlotScheduler:
            made.append(SlotScheduler(app=app))
            return made[-1]

        yield make
        for scheduler in made:
            scheduler._finalize.cancel()  # it would write to the database when the process ends


@pytest.fixture(autouse=True)
def no_other_schedules() -> None:
    PeriodicTask.objects.all().delete()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "TRY_AGAIN_SECONDS", 0.0)


def make_schedule(name: str = "Probe", **fields: Any) -> PeriodicTask:
    """One that is due at once, and then for a thousand days not again."""
    if not {"crontab", "clocked", "interval"} & fields.keys():
        fields["interval"] = IntervalSchedule.objects.create(every=1000, period="days")
    return PeriodicTask.objects.create(**{"name": name, "task": TASK, "last_run_at": LONG_AGO, **fields})


def turn(scheduler: SlotScheduler, times: int = 3) -> None:
    for _ in range(times):
        scheduler.tick()


def slots_of(name: str = "Probe") -> list[tuple[str, str]]:
    return list(Slot.objects.filter(name=name).order_by("due_at").values_list("status", "words"))


@contextmanager
def database_away() -> Iterator[None]:
    """Every statement fails as on a server that is being restarted."""

    def refuse(*_: Any) -> None:
        raise OperationalError("the connection was refused")

    with connection.execute_wrapper(refuse):
        yield


# --- Which moment is due --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("now", "since", "due"),
    [
        ("2026-11-23T02:30:00.020Z", "2026-11-22T02:30:00Z", "2026-11-23T02:30:00Z"),
        ("2026-11-23T02:47:10Z", "2026-11-22T02:30:00Z", "2026-11-23T02:30:00Z"),  # beat was away
        ("2026-11-23T01:10:00Z", "2026-11-19T02:30:00Z", "2026-11-22T02:30:00Z"),  # for days
    ],
)
def test_crontab_is_due_at_its_newest_minute(now, since, due):
    moments = {"now": datetime.fromisoformat(now), "since": datetime.fromisoformat(since)}

    found = due_minute(TzAwareCrontab(minute="30", hour="2"), **moments)

    assert found == datetime.fromisoformat(due)


def test_crontab_of_another_zone_is_due_at_its_minute_there():
    quarter_to_six = TzAwareCrontab(minute="45", hour="5", tz=ZoneInfo("Asia/Kolkata"))

    found = due_minute(quarter_to_six, since=NOW - timedelta(days=2), now=datetime(2026, 11, 23, 0, 20, tzinfo=UTC))

    assert found.isoformat() == "2026-11-23T00:15:00+00:00"


def test_crontab_of_rare_days_is_found_however_late_it_is():
    new_year = TzAwareCrontab(minute="0", hour="0", day_of_month="1", month_of_year="1")

    found = due_minute(new_year, since=datetime(2025, 6, 1, tzinfo=UTC), now=NOW)

    assert found == datetime(2026, 1, 1, tzinfo=UTC)


def test_crontab_that_was_not_due_since_is_due_now():
    found = due_minute(TzAwareCrontab(minute="30", hour="2"), since=NOW - 90 * SECOND, now=NOW + 20 * SECOND)

    assert found == NOW


def test_interval_is_due_on_a_grid_from_midnight_or_from_its_start():
    quarter = timedelta(minutes=15)

    of_midnight = floored(NOW + 100 * SECOND, quarter)
    of_start = floored(NOW + 100 * SECOND, quarter, anchor=NOW + timedelta(days=3, minutes=1))

    assert (of_midnight, of_start) == (NOW, NOW + timedelta(minutes=1))


def test_entry_of_an_interval_is_due_again_on_the_grid_however_late_it_was():
    every, before = timedelta(days=1000), timezone.now()
    entry = SlotEntry(make_schedule())

    is_due, seconds = entry.is_due()

    off_the_grid = before + timedelta(seconds=seconds) - (floored(before, every) + every)
    assert (is_due, next(entry).is_due().is_due) == (True, False)
    assert abs(off_the_grid) < 60 * SECOND
    assert entry.due_at(before) == floored(before, every)


def test_entry_of_a_moment_is_due_at_that_moment():
    moment = ClockedSchedule.objects.create(clocked_time=NOW)

    assert SlotEntry(make_schedule(clocked=moment, one_off=True)).due_at(NOW + 50 * SECOND) == NOW


# --- Sent once ------------------------------------------------------------------------------------
def test_a_due_moment_is_sent_with_the_number_of_its_slot(make_beat, valkey):
    make_schedule(expire_seconds=50)

    turn(make_beat())

    slot, (message,) = Slot.objects.get(), valkey.messages()
    assert (message["task"], message["slot"], slot.status) == (TASK, slot.pk, "sent")
    assert (slot.name, slot.task) == ("Probe", TASK)
    assert message["expires"] is not None


def test_two_beats_send_a_moment_once(make_beat, valkey):
    make_schedule()
    make_schedule("At night", crontab=CrontabSchedule.objects.create(minute="30", hour="2", timezone="UTC"))
    beats = [make_beat(), make_beat()]

    for scheduler in beats:
        turn(scheduler)

    assert len(valkey.messages()) == Slot.objects.count() == 2


def test_a_beat_that_was_killed_and_started_again_sends_no_moment_twice(make_beat, valkey):
    make_schedule()
    turn(make_beat())
    PeriodicTask.objects.update(last_run_at=LONG_AGO, total_run_count=0)  # it tells the database every three minutes

    turn(make_beat())

    assert len(valkey.messages()) == Slot.objects.count() == 1


def test_a_crontab_that_was_missed_many_hours_ago_is_made_up_for(make_beat, valkey):
    """As of a machine that was asleep at night, whatever time it is now."""
    hours = ",".join(str(hour) for hour in range(24))
    for name, hour in (("Each hour", hours), *((f"At {hour}", str(hour)) for hour in (2, 8, 14, 20))):
        make_schedule(name, crontab=CrontabSchedule.objects.create(minute="0", hour=hour, timezone="UTC"))

    turn(make_beat(), 8)

    assert len(valkey.messages()) == 5


def test_a_schedule_that_is_switched_off_is_not_sent(make_beat, valkey):
    make_schedule(enabled=False)

    turn(make_beat())

    assert (valkey.messages(), Slot.objects.count()) == ([], 0)


def test_beat_clears_no_results_as_there_are_none(make_beat):
    make_beat()

    assert settings.CELERY_RESULT_EXPIRES is None
    assert not PeriodicTask.objects.exists()


# --- The broker is away ---------------------------------------------------------------------------
@pytest.fixture
def away(valkey: Valkey) -> Iterator[Valkey]:
    valkey.stop()
    yield valkey
    if valkey.process.poll() is not None:
        valkey.start()


@pytest.mark.usefixtures("impatient")
def test_what_the_broker_does_not_take_is_on_record_and_sent_when_it_is_back(make_beat, away, caplog):
    make_schedule()
    scheduler = make_beat()

    turn(scheduler, 1)
    before = slots_of()
    away.start()
    turn(scheduler, 1)

    ((status, words),) = before
    assert status == "not_sent"
    assert words.startswith("Not sent: the broker does not answer.")
    ((status, words),) = slots_of()
    assert status == "sent"
    assert words.endswith("s late: the broker did not answer before.")
    assert [message["slot"] for message in away.messages()] == [Slot.objects.get().pk]
    assert "was not sent, the broker does not answer" in caplog.text


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("change", [{"expire_seconds": 1}, {"enabled": False}])
def test_what_is_not_worth_it_any_more_is_not_sent_late(make_beat, away, change):
    make_schedule(expire_seconds=change.get("expire_seconds"))
    scheduler = make_beat()
    turn(scheduler, 1)
    for task in PeriodicTask.objects.all():
        task.enabled = change.get("enabled", True)
        task.save()

    away.start()
    turn(scheduler, 2)

    assert (away.messages(), slots_of()[0][0]) == ([], "not_sent")


def test_beat_does_not_try_again_at_once(make_beat, away):
    """A broker that hangs takes seconds of each try, and other schedules are due."""
    make_schedule()
    scheduler = make_beat()
    turn(scheduler, 1)

    away.start()
    turn(scheduler, 1)

    assert away.messages() == []


@pytest.mark.usefixtures("impatient")
def test_one_that_was_to_run_once_is_sent_late_though_it_is_not_looked_for_any_more(make_beat, away):
    make_schedule(one_off=True, clocked=ClockedSchedule.objects.create(clocked_time=NOW))
    scheduler = make_beat()
    turn(scheduler, 1)
    scheduler._schedule = {}

    away.start()
    turn(scheduler, 1)

    assert len(away.messages()) == 1


def test_a_message_that_cannot_be_made_is_on_record_and_not_tried_again(make_beat, valkey, monkeypatch):
    make_schedule(queue="no such queue", priority=3, args="[1]")
    scheduler = make_beat()
    for entry in scheduler.schedule.values():
        entry.args = [object()]  # what JSON does not know

    turn(scheduler)

    ((status, words),) = slots_of()
    assert (status, valkey.messages()) == ("not_sent", [])
    assert words.startswith("Not sent: no message can be made of it.")


# --- The database is away -------------------------------------------------------------------------
@pytest.mark.usefixtures("impatient")
def test_beat_survives_a_database_that_is_away_and_sends_when_it_is_back(make_beat, valkey, caplog):
    make_schedule()
    scheduler = make_beat()

    with database_away():
        turn(scheduler, 2)
    sent_meanwhile = valkey.messages()
    turn(scheduler, 1)

    assert (sent_meanwhile, len(valkey.messages()), [status for status, _ in slots_of()]) == ([], 1, ["sent"])
    assert "Probe waits, the database does not answer" in caplog.text


def test_beat_reads_the_schedules_again_once_the_database_is_back(make_beat, valkey):
    scheduler = make_beat()
    make_schedule()
    scheduler._last_full_sync = datetime.min  # noqa: DTZ901 (as after five minutes)

    with database_away():
        pause = scheduler.tick()
    turn(scheduler)

    assert pause == beat.TRY_AGAIN_SECONDS
    assert len(valkey.messages()) == 1


def test_a_broker_that_is_away_with_the_database_is_survived_too(make_beat, away, monkeypatch, caplog):
    make_schedule()
    scheduler = make_beat()
    real = scheduler.apply_async

    def and_then_the_database_goes(*given: Any, **named: Any) -> None:
        going.__enter__()
        real(*given, **named)

    going = database_away()
    monkeypatch.setattr(scheduler, "apply_async", and_then_the_database_goes)
    turn(scheduler, 1)
    going.__exit__(None, None, None)

    assert "was not noted, the database does not answer" in caplog.text
    assert [status for status, _ in slots_of()] == ["sent"]
