"""The three roles: which permission is whose. A role is a group of its name, made by migration 0010_roles.

Whoever adds a permission writes it into the table here, or among NOBODYS with the reason, and gives it to the groups
that there are already: `roles.giving("mlops.view_widget")` among the operations of the migration that adds it.
tests/test_roles.py finds what was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import structlog
from django.contrib.auth.management import create_permissions
from django.db import migrations

logger = structlog.get_logger(__name__)
AGENT, DATA_SCIENTIST, ADMIN = "agent", "data scientist", "admin"
ACTIONS = ("view", "add", "change", "delete")
APPS = (
    "admin",
    "auth",
    "axes",
    "classifier",
    "django_celery_beat",
    "mlops",
)  # where permissions of the table come from
SCHEDULES = ("periodictask", "intervalschedule", "crontabschedule", "clockedschedule")


def of(app: str, *models: str, may: Iterable[str] = ACTIONS) -> set[str]:
    """The permissions to do something with rows of the models.

    >>> sorted(of("auth", "group", may=("add", "view")))
    ['auth.add_group', 'auth.view_group']
    """
    return {f"{app}.{action}_{model}" for model in models for action in may}


def scopes(*names: str) -> set[str]:
    return {f"classifier.scope_{name}" for name in names}


AGENTS = frozenset(
    scopes("predict", "label", "read")
    | of("classifier", "ticket", "label", "prediction", "category", "modelversion", may=("view",))
)
DATA_SCIENTISTS = AGENTS | (
    scopes("run", "promote", "metrics")
    | {"classifier.import_tickets", "classifier.export_rows"}
    | {
        "classifier.change_ticket"
    }  # whoever may change a ticket labels it as a reviewer, whose word is above an agent's
    | of("mlops", "trainingrun", "dataset", "promotion", "aliasmove", "driftsnapshot", "retraindecision", may=("view",))
    | of("mlops", "slot", "importjob", may=("view",))
    | of("django_celery_beat", *SCHEDULES, may=("view",))
)
ADMINS = DATA_SCIENTISTS | (
    {"mlops.force_promotion"}
    | of("classifier", "category", "user")
    | of("classifier", "apikey", may=("view", "add", "change"))
    | of("classifier", "apirequest", may=("view",))
    | of("auth", "group")
    | of("axes", "accessattempt", may=("view",))
    | of("admin", "logentry", may=("view",))  # what was changed by hand in the admin
    | of("django_celery_beat", *SCHEDULES)
)
ROLES = {AGENT: AGENTS, DATA_SCIENTIST: DATA_SCIENTISTS, ADMIN: ADMINS}

HAND = ("add", "change", "delete")
NOBODYS = frozenset(
    # Facts: no hand adds, changes or removes them. A superuser could not, either.
    of("classifier", "label", "prediction", "modelversion", "apirequest", may=HAND)
    | of("mlops", "trainingrun", "dataset", "promotion", "aliasmove", "driftsnapshot", "retraindecision", may=HAND)
    | of("mlops", "slot", "importjob", may=HAND)
    | of("axes", "accessattempt", may=HAND)
    | of("admin", "logentry", may=HAND)
    # Tickets come by import and by the API; removing one is a superuser's work. Keys are revoked, never removed.
    | of("classifier", "ticket", may=("add", "delete"))
    | of("classifier", "apikey", may=("delete",))
    # Rows without a page of their own: what they are for asks another permission.
    | of("classifier", "answerrollup", "requestrollup", "rolledup", "idempotentanswer", "refusalminute", "ticketband")
    | of("classifier", "claim", "linedup", "waiting")
    | of("classifier", "modelartifact")
    # Of packages: tables that stay empty or that only programs write.
    | of("auth", "permission")
    | of("axes", "accessattemptexpiration", "accessfailurelog", "accesslog")
    | of("django_celery_beat", "solarschedule", "periodictasks")
)


def make(apps: Any, _editor: Any = None) -> None:
    """Makes a group for each role that has none, with the role's permissions.

    A group that is called so already was made by people and stays as it is, members and permissions: whoever is in it
    would otherwise be given powers that nobody gave them. It is told in the log.
    """
    _make_permissions(apps)
    groups = apps.get_model("auth", "Group").objects
    for name, permissions in ROLES.items():
        group, is_new = groups.get_or_create(name=name)
        if is_new:
            group.permissions.set(_rows(apps, permissions))
        else:
            logger.warning("a group has the name of a role and stays as it is", group=name)


def unmake(apps: Any, _editor: Any = None) -> None:
    """Removes the groups that are as `make` made them. One whose permissions people changed stays, as theirs."""
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        held = set(group.permissions.values_list("pk", flat=True))
        if held == {row.pk for row in _rows(apps, ROLES[group.name])}:
            group.delete()


def give(apps: Any, *permissions: str) -> None:
    """Gives new permissions to the groups of the roles that have them.

    Only to a group that holds all else of its role: one from which people took something is theirs, and they decide.
    """
    _make_permissions(apps)
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        held = set(group.permissions.values_list("pk", flat=True))
        if {row.pk for row in _rows(apps, ROLES[group.name].difference(permissions))} <= held:
            group.permissions.add(*_rows(apps, ROLES[group.name].intersection(permissions)))


def giving(*permissions: str) -> migrations.RunPython:
    """The operation of a migration that gives permissions which are new with it; undone, the permissions go as well."""
    return migrations.RunPython(lambda apps, _editor: give(apps, *permissions), migrations.RunPython.noop)


def _make_permissions(apps: Any) -> None:
    """Makes the permission rows now: Django makes them after all migrations, of one `migrate` or on a new database."""
    for label in APPS:
        config = apps.get_app_config(label)
        # A migration's apps do not say that they have models, which is asked before anything is done.
        config.models_module = getattr(config, "models_module", None) or True
        create_permissions(config, apps=apps, verbosity=0)


def _rows(apps: Any, permissions: Iterable[str]) -> list[Any]:
    """The rows of the permissions that there are."""
    wanted = set(permissions)
    found = apps.get_model("auth", "Permission").objects.select_related("content_type")
    return [row for row in found if f"{row.content_type.app_label}.{row.codename}" in wanted]
