"""The schedule that counts calls and answers by minute, unless there is one already. In UTC, as all of them."""

from django.db import migrations

NAME, TASK = "Roll up", "mlops.tasks.roll_up"
DESCRIPTION = (
    "Counts calls and answers by minute, hour and day, so that a page's cost grows with its time range and not with "
    "the tables. Lines new tickets up for the label queue, too."
)


def add(apps, schema_editor):
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    if tasks.filter(task=TASK).exists() or tasks.filter(name=NAME).exists():
        return
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule").objects
    minute = {"every": 1, "period": "minutes"}
    tasks.create(
        name=NAME,
        task=TASK,
        interval=intervals.filter(**minute).first() or intervals.create(**minute),
        expire_seconds=50,  # the next one does its work
        enabled=True,
        description=DESCRIPTION,
    )


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME, task=TASK).delete()


class Migration(migrations.Migration):

    dependencies = [
        ("mlops", "0008_import_jobs"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(add, remove)]
