"""The app as pages name it, and better names for rows that a package made."""

from django.apps import AppConfig, apps


class ClassifierConfig(AppConfig):
    name = "classifier"
    verbose_name = "Tickets and answers"

    def ready(self) -> None:
        rename("admin.LogEntry", "change by hand", "changes by hand")
        rename("axes.AccessAttempt", "failed sign-in", "failed sign-ins")


def rename(label: str, name: str, plural: str) -> None:
    """Gives a package's model the words that people read. No migration: those compare what its class says."""
    options = apps.get_model(label)._meta
    options.verbose_name, options.verbose_name_plural = name, plural
