"""The bell: twice a minute the worker looks after runs that wait and runs whose process is gone."""

from django.db import migrations

NAME = "Look after training runs"


def ring(apps, schema_editor):
    every, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(every=30, period="seconds")
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name=NAME,
        defaults={
            "task": "mlops.tasks.look_after_runs",
            "interval": every,
            "expire_seconds": 30,  # without a worker they would pile up
            "description": "Marks runs failed whose process is gone, begins them again, and calls a worker to queued ones.",
        },
    )


def fall_silent(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("mlops", "0004_reconcile_schedule"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(ring, fall_silent)]
