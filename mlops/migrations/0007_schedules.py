"""What watching does by itself: a heartbeat, a look for drift, a question each night, and clearing up. All in UTC.

Each unless there is such a task already, or a schedule of that name: what a person has made stays as it is.
"""

from django.db import migrations

HALF_A_MINUTE = {"every": 30, "period": "seconds"}
MINUTE = {"every": 1, "period": "minutes"}
EVERY_DAY = {"day_of_week": "*", "day_of_month": "*", "month_of_year": "*", "timezone": "UTC"}
SCHEDULES = [
    {
        "name": "Heartbeat",
        "task": "mlops.tasks.heartbeat",
        "interval": HALF_A_MINUTE,
        "expire_seconds": 25,  # a late one tells nobody anything
        "description": "Shows that beat sends and a worker works, and fails in the schedule log what nobody ended.",
    },
    {
        "name": "Watch for drift",
        "task": "mlops.tasks.watch_drift",
        "interval": MINUTE,
        "expire_seconds": 50,
        "description": "Takes a drift snapshot when DRIFT_SNAPSHOT_MINUTES or DRIFT_SNAPSHOT_PREDICTIONS are reached, "
        "and asks whether it speaks for a retraining.",
    },
    {
        "name": "Retrain nightly",
        "task": "mlops.tasks.consider_retraining",
        "crontab": {"minute": "30", "hour": "2", **EVERY_DAY},
        "expire_seconds": 4 * 3600,  # a worker that was away makes up for it, but not in the middle of the day
        "description": "Asks whether to retrain, and begins a run if so. RETRAIN_AUTOMATIC switches it off.",
    },
    {
        "name": "Clean up",
        "task": "mlops.tasks.clean_up",
        "crontab": {"minute": "40", "hour": "3", **EVERY_DAY},
        "expire_seconds": 4 * 3600,
        "description": "Removes texts and request rows older than TEXT_RETENTION_DAYS and REQUEST_RETENTION_DAYS.",
    },
]


def add(apps, schema_editor):
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    kinds = {"interval": "IntervalSchedule", "crontab": "CrontabSchedule"}
    for wanted in SCHEDULES:
        if tasks.filter(task=wanted["task"]).exists() or tasks.filter(name=wanted["name"]).exists():
            continue
        fields = dict(wanted)
        for kind, model in kinds.items():
            if kind in fields:
                rows = apps.get_model("django_celery_beat", model).objects
                fields[kind] = rows.filter(**fields[kind]).first() or rows.create(**fields[kind])
        tasks.create(enabled=True, **fields)
    # Beat's own, of before results had no end: there are no results to clear.
    tasks.filter(name="celery.backend_cleanup", task="celery.backend_cleanup").delete()


def remove(apps, schema_editor):
    # Intervals and crontabs stay: other tasks may follow them.
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for wanted in SCHEDULES:
        tasks.filter(name=wanted["name"], task=wanted["task"]).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("mlops", "0006_watching"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(add, remove)]
