"""The bell: twice a minute the worker looks after runs that wait and runs whose process is gone."""

from django.db import migrations

TASK, NAME = "mlops.tasks.look_after_runs", "Look after training runs"


def ring(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    if tasks.filter(task=TASK).exists() or tasks.filter(name=NAME).exists():
        return
    half_a_minute = {"every": 30, "period": "seconds"}
    tasks.create(
        name=NAME,
        task=TASK,
        interval=intervals.filter(**half_a_minute).first() or intervals.create(**half_a_minute),
        enabled=True,
        expire_seconds=30,  # without a worker they would pile up
        description="Marks runs failed whose process is gone, begins them again, and calls a worker to queued ones.",
    )


def fall_silent(apps, schema_editor):
    # The interval stays: other tasks may follow it.
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME, task=TASK).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("mlops", "0004_reconcile_schedule"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(ring, fall_silent)]
