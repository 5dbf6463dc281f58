"""The roles: what is in which, that nothing is forgotten, and that people's own groups are left alone."""

from __future__ import annotations

import importlib

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission

from mlops import roles
from mlops.roles import ADMIN, AGENT, DATA_SCIENTIST, NOBODYS, ROLES

pytestmark = pytest.mark.django_db
# Of packages whose pages we do not show; nobody needs to be told about them.
OTHERS = {"admin", "contenttypes", "sessions", "rest_framework_api_key"}


@pytest.fixture(autouse=True)
def _as_migrated() -> None:
    Group.objects.all().delete()
    roles.make(apps)


def held(name: str) -> set[str]:
    rows = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


def known() -> set[str]:
    rows = Permission.objects.exclude(content_type__app_label__in=OTHERS)
    return {f"{app}.{codename}" for app, codename in rows.values_list("content_type__app_label", "codename")}


# --- The table ------------------------------------------------------------------------------------
def test_every_permission_is_in_a_role_or_named_as_nobodys():
    assert known() - roles.ADMINS - NOBODYS == set(), "write it into mlops/roles.py, and give it in its migration"
    assert (roles.ADMINS | NOBODYS) - known() == set(), "mlops/roles.py names a permission that there is not"
    assert set() == roles.ADMINS & NOBODYS


def test_each_role_has_what_the_one_before_has_and_more():
    assert roles.AGENTS < roles.DATA_SCIENTISTS < roles.ADMINS


def test_roles_hold_what_the_issue_asks_for():
    scopes = {name: {each.rpartition("_")[2] for each in ROLES[name] if ".scope_" in each} for name in ROLES}

    assert scopes[AGENT] == {"predict", "label", "read"}
    assert scopes[DATA_SCIENTIST] == scopes[ADMIN] == {"predict", "label", "read", "run", "promote", "metrics"}
    assert {"classifier.import_tickets", "classifier.export_rows"} <= ROLES[DATA_SCIENTIST] - ROLES[AGENT]
    assert "mlops.force_promotion" in ROLES[ADMIN] - ROLES[DATA_SCIENTIST]


# --- The groups -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*ROLES])
def test_group_holds_its_role_to_the_letter(name):
    assert held(name) == ROLES[name]


def test_group_that_people_made_before_stays_as_it_is(caplog):
    Group.objects.all().delete()
    Group.objects.create(name=ADMIN).permissions.add(Permission.objects.get(codename="view_ticket"))

    roles.make(apps)

    assert held(ADMIN) == {"classifier.view_ticket"}
    assert held(AGENT) == ROLES[AGENT]


def test_undone_the_groups_go_but_for_those_that_people_changed():
    Group.objects.get(name=AGENT).permissions.add(Permission.objects.get(codename="view_slot"))

    roles.unmake(apps)

    assert [group.name for group in Group.objects.all()] == [AGENT]


def test_permissions_that_do_not_exist_yet_are_made():
    Group.objects.all().delete()
    Permission.objects.all().delete()

    roles.make(apps)

    assert held(ADMIN) == ROLES[ADMIN]


def test_new_permission_reaches_the_roles_that_have_it_and_no_group_that_people_changed():
    new = Permission.objects.get(codename="export_rows")
    for group in Group.objects.all():
        group.permissions.remove(new)
    Group.objects.get(name=ADMIN).permissions.remove(Permission.objects.get(codename="view_slot"))

    roles.give(apps, "classifier.export_rows")

    assert held(DATA_SCIENTIST) == ROLES[DATA_SCIENTIST]
    assert "classifier.export_rows" not in held(AGENT)
    assert "classifier.export_rows" not in held(ADMIN)


def test_migration_makes_the_roles_and_can_be_undone():
    (operation,) = importlib.import_module("mlops.migrations.0010_roles").Migration.operations

    assert (operation.code, operation.reverse_code) == (roles.make, roles.unmake)
    assert roles.giving("mlops.view_slot").reversible
