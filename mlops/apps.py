"""The app as pages name it, and better names for the schedules, which a package made."""

from django.apps import AppConfig, apps

from classifier.apps import rename


class MlopsConfig(AppConfig):
    name = "mlops"
    verbose_name = "Model operations"

    def ready(self) -> None:
        rename("django_celery_beat.PeriodicTask", "schedule", "schedules")
        rename("django_celery_beat.ClockedSchedule", "moment", "moments")
        apps.get_app_config("django_celery_beat").verbose_name = "Schedules"
