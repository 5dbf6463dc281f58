"""`manage.py create_api_key`: a key that works, shown once, kept as a hash."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from classifier.management.base import BadUsage
from classifier.models import ApiKey, Scope

pytestmark = pytest.mark.django_db


def run(*arguments, **options):
    out = io.StringIO()
    call_command("create_api_key", *arguments, stdout=out, **options)
    return out.getvalue()


def test_the_key_stands_alone_on_the_last_line_and_works():
    key = run("helpdesk", "--scope", "predict", "--scope", "read").splitlines()[-1]

    row = ApiKey.objects.get_from_key(key)
    assert (row.name, row.scopes, row.expiry_date) == ("helpdesk", ["predict", "read"], None)


def test_only_a_hash_is_kept():
    key = run("helpdesk", "--scope", "predict").splitlines()[-1]

    row = ApiKey.objects.get()
    assert key.partition(".")[2] not in f"{row.id} {row.hashed_key} {row.prefix}"


def test_json_is_one_object_with_the_key():
    found = json.loads(run("helpdesk", "--scope", "predict", "--json"))

    assert ApiKey.objects.get_from_key(found["key"]).prefix == found["prefix"]
    assert (found["name"], found["scopes"], found["expires_at"]) == ("helpdesk", ["predict"], None)


def test_expires_sets_the_end():
    before = timezone.now()

    found = json.loads(run("helpdesk", "--scope", "predict", "--expires", "30", "--json"))

    row = ApiKey.objects.get()
    assert timedelta(days=30) <= row.expiry_date - before < timedelta(days=30, minutes=1)
    assert found["expires_at"] == row.expiry_date.isoformat()


def test_the_same_scope_twice_is_one():
    run("helpdesk", "--scope", "predict", "--scope", "predict")

    assert ApiKey.objects.get().scopes == ["predict"]


def test_an_unknown_scope_lists_the_known_ones():
    with pytest.raises(CommandError, match="'predict', 'label', 'read'"):
        run("helpdesk", "--scope", "everything")


def test_a_key_needs_a_scope():
    with pytest.raises(CommandError, match="--scope"):
        run("helpdesk")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((" ", "--scope", "predict"), "1 to 50 characters; it has 0"),
        (("x" * 51, "--scope", "predict"), "it has 51"),
        (("helpdesk", "--scope", "predict", "--expires", "0"), "1 to 36500"),
        (("helpdesk", "--scope", "predict", "--expires", "-3"), "it is -3"),
    ],
)
def test_what_cannot_be_is_refused_and_makes_no_key(arguments, words):
    with pytest.raises(BadUsage, match=words):
        run(*arguments)

    assert not ApiKey.objects.exists()


def test_help_says_what_each_scope_allows():
    from classifier.management.commands.create_api_key import MEANINGS, Command

    assert set(MEANINGS) == set(Scope)
    assert all(meaning in Command.help for meaning in MEANINGS.values())
