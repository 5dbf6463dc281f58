"""The pages of imports by hand: from the upload to the refused rows, by who may, and by forms alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from classifier.models import Category, Ticket
from mlops import imports, tasks
from mlops.imports import telling, uploading, working
from mlops.models import ImportJob
from tests.factories import make_categories, make_user
from tests.mlops.test_imports import GOOD, MIXED, WEATHER
from tests.test_bad_data import ROWS, UNREADABLE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home", "rung")]


@pytest.fixture(autouse=True)
def _there(monkeypatch: pytest.MonkeyPatch) -> None:
    make_categories()
    monkeypatch.setattr(telling, "BEAT_SECONDS", 60)  # its thread could not write while the test holds the transaction


@pytest.fixture
def importer(client: Client) -> Client:
    """A browser of somebody who may import and nothing else."""
    user = make_user("ida")
    user.user_permissions.set(Permission.objects.filter(codename="import_tickets"))
    client.force_login(user)
    return client


def send(client: Client, content: bytes = GOOD, name: str = "tickets.csv", **fields: str) -> Any:
    return client.post("/imports", {"file": SimpleUploadedFile(name, content), **fields}, follow=True)


def act(client: Client, action: str, **fields: str) -> Any:
    return client.post(f"/imports/{ImportJob.objects.get().pk}", {"action": action, **fields}, follow=True)


def said(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


def words(page: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_empty_page_says_what_to_upload(importer):
    page = importer.get("/imports")

    assert page.status_code == 200
    assert "No file was uploaded yet" in page.text
    assert "at most 20 MB and 100,000 rows" in page.text


def test_way_from_the_upload_to_the_refused_rows(importer, django_capture_on_commit_callbacks, rung):
    page = send(importer, MIXED, skip_bad="on")
    job = ImportJob.objects.get()
    assert page.redirect_chain == [(f"/imports/{job.pk}", 302)]
    assert "Start the import" in page.text
    assert "New tickets 2" in words(page)
    assert "Line 5 has no text" in words(page)
    assert not Ticket.objects.exists()

    with django_capture_on_commit_callbacks(execute=True):
        page = act(importer, "start")
    assert (page.redirect_chain, said(page)) == ([(f"/imports/{job.pk}", 302)], [])
    assert "Waiting for a worker" in page.text
    assert '<noscript><meta http-equiv="refresh"' in page.text
    assert rung == [("mlops.tasks.work_on_import", job.pk)]
    tasks.work_on_import(job.pk)

    page = importer.get(f"/imports/{job.pk}")
    assert "Kept: 2 new tickets. Refused and left out: 3." in page.text
    assert "http-equiv" not in page.text
    assert f'href="/imports/{job.pk}/refused"' in page.text
    refused = importer.get(f"/imports/{job.pk}/refused")
    assert refused.headers["Content-Disposition"] == f'attachment; filename="refused-rows-of-import-{job.pk}.csv"'
    assert refused.content.decode().splitlines()[0] == "line,code,message,text,label"
    assert "Kept: 2 new tickets" in importer.get("/imports").text


@pytest.mark.parametrize("name", [name for name, content in UNREADABLE.items() if content is not None])
def test_unreadable_file_is_refused_in_words_and_never_a_500(importer, name):
    page = send(importer, UNREADABLE[name] or b"", name)

    assert page.status_code == 200
    if name == "empty.csv":  # Django itself takes an empty file for one
        assert "it is empty" in said(page)[0]
    elif not ImportJob.objects.exists():
        assert said(page)[0].startswith(f"{name} must ")
    else:
        tasks.work_on_import(ImportJob.objects.get().pk) if ImportJob.objects.get().status == "previewing" else None
        assert f"{name} must " in importer.get(page.request["PATH_INFO"]).text.replace("&#x27;", "'")


@pytest.mark.parametrize("name", ROWS)
def test_file_with_bad_rows_is_not_started(importer, name):
    page = send(importer, ROWS[name], name)

    assert "would be refused, and so the whole" in page.text
    assert "Start the import" not in page.text
    assert "would be refused" in said(act(importer, "start"))[0]


def test_columns_are_chosen_in_the_form(importer):
    page = send(importer, UNREADABLE["other_columns.csv"] or b"", "other.csv")
    assert "<option>body</option>" in page.text
    assert "must have the column &#x27;text&#x27;" in page.text

    page = act(importer, "look", text_column="body", label_column="topic")

    assert "<option selected>body</option>" in page.text
    assert "Start the import" in page.text


@pytest.mark.parametrize("fields", [{}, {"file": "a text and no file"}])
def test_upload_without_a_file_asks_for_one(importer, fields):
    page = importer.post("/imports", fields, follow=True)

    assert said(page) == ["Choose a file first: CSV or JSONL, with a column of texts and one of labels."]


def test_body_that_is_too_long_is_refused_before_the_form_in_it_is_looked_at(importer, settings):
    settings.IMPORT_MAX_MEGABYTES = 1
    strict = Client(enforce_csrf_checks=True)  # to check the form's token, Django would take the whole body in
    strict.cookies = importer.cookies

    page = send(strict, b"x" * 1_200_000)

    assert page.redirect_chain == [("/imports", 302)]
    assert said(page) == ["The file must have at most 1 MB. Split it, or import it with manage.py import_tickets."]


def test_upload_without_the_forms_token_is_refused(importer):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = importer.cookies

    answer = strict.post("/imports", {"file": SimpleUploadedFile("tickets.csv", GOOD)})

    assert answer.status_code == 403
    assert not ImportJob.objects.exists()


def test_start_clicked_twice_starts_one(importer):
    send(importer)
    act(importer, "start")

    page = act(importer, "start")

    assert "was started already" in said(page)[0]
    assert ImportJob.objects.get().status == "queued"


def test_import_is_cancelled(importer):
    send(importer)

    page = act(importer, "cancel")

    assert "Cancelled by ida. Nothing of it was imported." in page.text
    assert "The file itself was removed." in page.text
    assert "Only an import that has not begun can be cancelled" in said(act(importer, "cancel"))[0]


@pytest.mark.parametrize("action", ["", "drop", "\0"])
def test_form_without_a_known_action_does_nothing(importer, action):
    send(importer)

    assert said(act(importer, action)) == ["Nothing was done: the form named no action that this page knows."]
    assert ImportJob.objects.get().status == "uploaded"


def test_category_is_offered_to_who_may_make_one(importer, at):
    assert "create_categories" in at.get("/imports").text
    plain = Client()
    plain.force_login(make_user("pia"))
    ida = make_user("ivo")
    ida.user_permissions.set(Permission.objects.filter(codename="import_tickets"))
    plain.force_login(ida)

    assert "create_categories" not in plain.get("/imports").text
    assert "You may not make categories" in said(send(plain, WEATHER, create_categories="on"))[0]
    assert "new category" in send(at, WEATHER, create_categories="on").text
    assert not Category.objects.filter(slug="weather").exists()


# --- The bar --------------------------------------------------------------------------------------
def test_bar_tells_how_far_it_is_and_ends(importer):
    send(importer)
    act(importer, "start")
    job = working._claim(ImportJob.objects.get().pk, now=working.timezone.now())
    ImportJob.objects.update(n_done=1, step="Storing tickets")

    part = importer.get(f"/imports/{job.pk}/progress").text
    ImportJob.objects.update(status="failed", ended_at=job.started_at, lease_until=None)
    ended = importer.get(f"/imports/{job.pk}/progress").text

    assert f'data-address="/imports/{job.pk}/progress"' in part
    assert 'max="1" value="0.5">50.0 %</progress>' in part
    assert "Storing tickets" in part
    assert "data-address" not in ended


def test_large_file_is_rung_for_and_its_page_waits(importer, monkeypatch, rung, django_capture_on_commit_callbacks):
    monkeypatch.setattr(uploading, "AT_ONCE", 10)

    with django_capture_on_commit_callbacks(execute=True):
        page = send(importer)

    assert rung == [("mlops.tasks.work_on_import", ImportJob.objects.get().pk)]
    assert "Being looked at" in page.text
    assert "Start the import" not in page.text


# --- Who may --------------------------------------------------------------------------------------
ADDRESSES = ["/imports", "/imports/1", "/imports/1/progress", "/imports/1/refused"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_page_is_for_those_who_may_import(client, address):
    assert client.get(address).status_code == 302

    client.force_login(make_user("eve"))

    assert client.get(address).status_code == 403
    assert client.post(address, {"file": SimpleUploadedFile("x.csv", GOOD)}).status_code in {403, 405}
    assert not ImportJob.objects.exists()


@pytest.mark.parametrize("address", ADDRESSES[1:])
@pytest.mark.parametrize("number", ["1", "0", "9" * 40])
def test_import_that_is_not_there_is_a_404(importer, address, number):
    assert importer.get(address.replace("1", number)).status_code == 404


def test_refused_rows_that_are_not_there_are_a_404(importer):
    send(importer)

    assert importer.get(f"/imports/{ImportJob.objects.get().pk}/refused").status_code == 404


def test_pages_take_few_queries_and_never_the_file(importer, django_assert_max_num_queries):
    for number in range(5):
        imports.upload(
            SimpleUploadedFile("x.csv", GOOD + b"%d,billing\n" % number),
            by=make_user(f"u{number}"), options=imports.Options(), now=working.timezone.now(),
        )  # fmt: skip

    number = ImportJob.objects.light().last().pk

    with django_assert_max_num_queries(11) as captured:  # four of each page are about who asks
        importer.get("/imports")
        importer.get(f"/imports/{number}")

    assert [query["sql"] for query in captured if '"content"' in query["sql"]] == []


def test_text_of_a_file_is_escaped(importer):
    page = send(importer, b"text,label,<b>\n<script>alert(1)</script>,<i>,x\n", "<script>.csv")

    assert "<script>alert" not in page.text
    assert "<b>" not in page.text
    assert "<i>" not in page.text
