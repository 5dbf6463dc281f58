"""People, roles and keys in the admin: who may hand out what, and who may touch whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from classifier.models import ApiKey, User
from mlops import roles
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough one"
PASSWORDS = {"password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def _roles() -> None:
    roles.make(apps)  # a flush of another test may have emptied the groups


@pytest.fixture
def admin(client: Client) -> User:
    """ida, of the group admin and no superuser, signed in."""
    return signed_in(client, "ida", roles.ADMIN)


def signed_in(client: Client, name: str, *groups: str, permissions: tuple[str, ...] = ()) -> User:
    user = factories.make_user(name)
    user.groups.set(Group.objects.filter(name__in=groups))
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return user


def address(model: type, page: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def group(name: str) -> int:
    return Group.objects.get(name=name).pk


def post_person(client: Client, user: User, **fields: Any) -> int:
    sent = {"username": user.username, "is_active": "on", **fields}
    return client.post(address(User, "change", user.pk), sent).status_code


# --- The group admin ------------------------------------------------------------------------------
def test_admin_makes_a_person_with_role_and_staff_flag_who_signs_in(client, admin):
    made = client.post(address(User, "add"), {"username": "dora", **PASSWORDS})
    dora = User.objects.get(username="dora")
    changed = post_person(client, dora, is_staff="on", groups=[group(roles.AGENT)])

    dora.refresh_from_db()
    assert (made.status_code, changed) == (302, 302)
    assert dora.is_staff
    assert [held.name for held in dora.groups.all()] == [roles.AGENT]
    answer = Client().post("/sign-in", {"username": "dora", "password": PASSWORD})
    assert (answer.status_code, answer.url) == (302, "/")


@pytest.mark.parametrize("role", [*roles.ROLES])
def test_admin_gives_and_takes_every_role(client, admin, role):
    cem = factories.make_user("cem")

    assert post_person(client, cem, is_staff="on", groups=[group(role)]) == 302
    assert cem.groups.get().name == role
    assert post_person(client, cem) == 302
    assert not cem.groups.exists()


def test_admin_makes_nobody_a_superuser(client, admin):
    cem = factories.make_user("cem")

    post_person(client, cem, is_superuser="on")
    post_person(client, admin, is_superuser="on", groups=[group(roles.ADMIN)])

    assert not User.objects.filter(is_superuser=True).exists()


@pytest.mark.parametrize("is_active", [True, False])
def test_admin_cannot_change_a_superuser_nor_its_password(client, admin, is_active):
    boss = factories.make_user("boss", is_superuser=True, is_active=is_active)

    answers = [
        post_person(client, boss, is_active=""),
        client.get(f"/admin/classifier/user/{boss.pk}/password/").status_code,
        client.post(f"/admin/classifier/user/{boss.pk}/password/", PASSWORDS).status_code,
        client.post(address(User, "delete", boss.pk), {"post": "yes"}).status_code,
    ]

    assert answers == [403] * 4
    assert User.objects.filter(pk=boss.pk, is_active=is_active).exists()


def test_form_of_a_person_says_what_each_power_is_for(client, admin):
    page = client.get(address(User, "change", admin.pk)).content.decode()

    assert "The other pages ask for no staff." in page
    assert "promotions within the gate" in page


# --- Others with some of its permissions ----------------------------------------------------------
def test_who_may_change_people_hands_out_no_role_that_is_above(client):
    cem = signed_in(client, "cem", permissions=("view_user", "change_user"))

    post_person(client, cem, groups=[group(roles.ADMIN)], is_superuser="on")

    cem.refresh_from_db()
    assert not cem.groups.exists()
    assert not cem.is_superuser


@pytest.mark.parametrize("is_active", [True, False])
def test_who_may_change_people_takes_over_nobody_who_is_above(client, is_active):
    signed_in(client, "cem", permissions=("view_user", "change_user", "delete_user"))
    ida = factories.make_user("ida", is_active=is_active)
    ida.groups.add(group(roles.ADMIN))

    assert post_person(client, ida) == 403
    assert client.post(f"/admin/classifier/user/{ida.pk}/password/", PASSWORDS).status_code == 403
    assert client.post(address(User, "delete", ida.pk), {"post": "yes"}).status_code == 403


def test_who_may_change_groups_puts_only_into_them_what_they_hold(client):
    signed_in(client, "cem", permissions=("view_group", "change_group", "add_group", "delete_group", "view_ticket"))
    readers = Group.objects.create(name="readers")
    held, above = (Permission.objects.get(codename=name).pk for name in ("view_ticket", "force_promotion"))

    client.post(address(Group, "change", readers.pk), {"name": "readers", "permissions": [held]})
    client.post(address(Group, "change", readers.pk), {"name": "readers", "permissions": [held, above]})

    assert [permission.codename for permission in readers.permissions.all()] == ["view_ticket"]
    assert client.post(address(Group, "change", group(roles.ADMIN)), {"name": "x"}).status_code == 403
    assert client.post(address(Group, "delete", group(roles.ADMIN)), {"post": "yes"}).status_code == 403


def test_every_permission_of_a_role_is_offered_in_the_form_of_groups(at):
    form = at.get(address(Group, "add")).context["adminform"].form
    offered = {
        f"{permission.content_type.app_label}.{permission.codename}"
        for permission in form.fields["permissions"].queryset
    }

    assert not roles.ADMINS - offered  # what is not offered is lost when the form is saved


# --- Keys -----------------------------------------------------------------------------------------
def test_key_gets_no_scope_that_its_maker_does_not_hold(client):
    signed_in(client, "cem", permissions=("view_apikey", "add_apikey", "change_apikey", "scope_predict"))
    theirs = factories.make_key("read", name="theirs")[0]

    client.post(address(ApiKey, "add"), {"name": "mine", "scopes": ["predict"]})
    refused = client.post(address(ApiKey, "add"), {"name": "more", "scopes": ["predict", "promote"]})
    client.post(address(ApiKey, "change", theirs.prefix), {"name": "theirs", "scopes": ["read", "promote"]})

    assert "Select a valid choice" in refused.content.decode()
    assert {key.name: key.scopes for key in ApiKey.objects.all()} == {"mine": ["predict"], "theirs": ["read"]}


def test_form_of_one_maker_does_not_offer_the_scopes_of_another(client, boss):
    client.force_login(boss)
    assert 'value="promote"' in client.get(address(ApiKey, "add")).content.decode()
    signed_in(client, "cem", permissions=("view_apikey", "add_apikey", "scope_read"))

    page = client.get(address(ApiKey, "add")).content.decode()

    assert 'value="read"' in page
    assert 'value="promote"' not in page


def test_admin_makes_and_revokes_a_key_of_all_scopes(client, admin):
    scopes = ["predict", "label", "read", "run", "promote", "metrics"]

    client.post(address(ApiKey, "add"), {"name": "all", "scopes": scopes})
    key = ApiKey.objects.get()
    client.post(reverse("admin:classifier_apikey_revoke", args=[key.prefix]))

    key.refresh_from_db()
    assert key.scopes == scopes
    assert key.revoked


# --- Schedules ------------------------------------------------------------------------------------
def test_who_only_sees_schedules_switches_none_off(client):
    model = apps.get_model("django_celery_beat", "PeriodicTask")
    crontab = apps.get_model("django_celery_beat", "CrontabSchedule").objects.create()
    task = model.objects.create(name="nightly", task="mlops.tasks.retrain", crontab=crontab)
    signed_in(client, "dan", roles.DATA_SCIENTIST)

    client.post(address(model), {"action": "disable_tasks", "_selected_action": task.pk})

    task.refresh_from_db()
    assert task.enabled
