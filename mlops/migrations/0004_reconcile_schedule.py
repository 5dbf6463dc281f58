"""Beat reconciles with MLflow each minute, unless there is such a task already."""

from django.db import migrations

TASK, NAME = "mlops.tasks.reconcile", "Reconcile with MLflow"


def add(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    if tasks.filter(task=TASK).exists() or tasks.filter(name=NAME).exists():
        return
    minute = {"every": 1, "period": "minutes"}
    tasks.create(
        name=NAME,
        task=TASK,
        interval=intervals.filter(**minute).first() or intervals.create(**minute),
        enabled=True,
        expire_seconds=50,  # the next one comes in a minute: what a worker that was away missed need not be made up for
        description="Records in MLflow what it lacks, and brings its alias `production` and our version together.",
    )


def remove(apps, schema_editor):
    # The interval stays: other tasks may follow it.
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME, task=TASK).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("mlops", "0003_append_only"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(add, remove)]
