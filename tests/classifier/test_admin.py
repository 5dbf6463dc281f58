"""The admin: every page of every model, what is refused, and the pages of tickets, keys and people."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.messages import get_messages
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from classifier import labelling
from classifier.admin import base, tickets
from classifier.admin.base import CarefulAdmin, FactAdmin
from classifier.ml.scoring import score
from classifier.models import ApiKey, ApiRequest, Category, Label, ModelArtifact, ModelVersion, Prediction, Ticket, User
from mlops.admin import navigation
from mlops.models import AliasMove, Dataset, DriftSnapshot, ImportJob, Promotion, RetrainDecision, Slot, TrainingRun
from tests import factories

pytestmark = pytest.mark.django_db
PAGES = {model._meta.label_lower: page for model, page in admin.site._registry.items()}
FACTS = {label: page for label, page in PAGES.items() if isinstance(page, FactAdmin)}
MAX_QUERIES = 15  # a list; session and user are two of them
ODD = ["\0", "a\0b", "(", "%", "'", "9" * 40, "-1", "²", "1e5", "a " * 1200, "x" * 60_000, "2026-13-45", "null", "🦊"]


def address(model: Any, page: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def name_of(row: Any) -> str:
    """What a row's address ends in."""
    return row.prefix if isinstance(row, ApiKey) else str(row.pk)


def label_as(ticket: Ticket, slug: str, source: str = Label.Source.IMPORT) -> Label:
    category = factories.make_categories([slug])[0]
    return labelling.set_label(ticket, category, source=source, now=timezone.now()).label


def fill() -> None:
    """A row, or a few, of every model that has a page."""
    more(1)
    Group.objects.get_or_create(name="agents")
    crontab = CrontabSchedule.objects.create()
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now())
    IntervalSchedule.objects.create(every=5, period="minutes")
    PeriodicTask.objects.create(name="retrain", task="mlops.tasks.retrain", crontab=crontab)
    PeriodicTask.objects.create(name="once", task="mlops.tasks.train", clocked=clocked, one_off=True)


def more(count: int) -> None:
    """So many rows of what grows, each with a ticket, category, person, key, version and dataset of its own."""
    scores = score(["billing", "general"], ["billing", "billing"], None, categories=["billing", "general"]).as_dict()
    metrics = {"validation": scores, "test": scores}
    artifact = ModelArtifact.objects.get_or_create(sha256="ab" * 32, content=b"not read here", n_bytes=13)[0]
    kind = ContentType.objects.get_for_model(Category)
    known = Ticket.objects.count()
    for number in range(known, known + count):
        person = factories.make_user(f"person {number}")
        key = factories.make_key(name=f"key {number}")[0]
        category = factories.make_categories([f"trade_{number}"])[0]
        version = ModelVersion.objects.create(
            number=number + 1, recipe="word_char", categories=["billing"], artifact=artifact, metrics=metrics,
            parameters={"c": 3.0, "libraries": {"numpy": "2"}},
        )  # fmt: skip
        ticket = factories.make_ticket(f"Where is parcel number {number}?", external_id=f"Z-{number}")
        Label.objects.create(ticket=ticket, category=category, source="agent", by=person)
        request = ApiRequest.objects.create(key=key, route="predict", method="POST", status=200, latency_ms=4.5)
        Prediction.objects.create(
            ticket=ticket, version=version, category=category, request=request,
            confidence=0.9, n_words=4, unknown_share=0.1,
        )  # fmt: skip
        dataset = Dataset.objects.create(fingerprint="ab" * 32, members={}, counts={"train": {"billing": 5}})
        run = TrainingRun.objects.create(
            status="failed", trigger="command", recipe="word_char", by=person, dataset=dataset, metrics=metrics,
            outcome="No luck.", log="fit",
        )  # fmt: skip
        promotion = Promotion.objects.create(version=version, replaced=version, by=person, reason="It is better.")
        ImportJob.objects.create(
            by=person,
            file_name="tickets.csv",
            content=b"text,label",
            n_bytes=2_000_000,
            n_rows=40,
            preview={"rows": []},
        )
        LogEntry.objects.create(
            user=person, content_type=kind, object_id=category.pk, object_repr="trade", action_flag=2
        )
        RetrainDecision.objects.create(cause="labels", decision="started", words="200 new labels.", run=run)
        AliasMove.objects.create(decision="followed", found=1, left=2, promotion=promotion, words="It followed.")
        DriftSnapshot.objects.create(
            version=version, verdict="steady", words="Steady.", method="resampled", window_size=500, recent_count=200,
            reference_count=400, signals=[{"name": "text", "value": 0.1, "threshold": 0.2, "words": "", "drifted": 0}],
        )  # fmt: skip
        AccessAttempt.objects.create(username=f"person {number}", ip_address="192.0.2.1", failures_since_start=2)
        due = timezone.now().replace(microsecond=number)
        Slot.objects.create(name=f"Schedule {number}", task="mlops.tasks.heartbeat", due_at=due, words="Alive.")


def staff(client: Any, *permissions: str) -> User:
    """Signs in somebody who may do these things and nothing else."""
    user = factories.make_user("cem")
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return user


def asking(user: User) -> Any:
    request = RequestFactory().get("/")
    request.user = user
    return request


def words_of(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


# --- Every page -----------------------------------------------------------------------------------
@pytest.mark.parametrize("label", PAGES)
def test_empty_list_answers_and_says_what_to_do_next(at, label):
    model, page = PAGES[label].model, PAGES[label]

    response = at.get(address(model))

    assert response.status_code == 200
    if not model.objects.exists():
        assert escape(page.empty) in response.content.decode()


@pytest.mark.parametrize("label", PAGES)
def test_list_and_form_of_rows_answer(at, label):
    fill()
    model = PAGES[label].model
    row = model.objects.first()
    assert row is not None, f"fill() makes no {label}: a new page wants a row here"

    for page in ("change", "history"):
        assert at.get(address(model, page, name_of(row))).status_code == 200, page
    assert at.get(address(model)).status_code == 200


@pytest.mark.parametrize("label", PAGES)
def test_adding_and_deleting_answer_or_are_refused(at, boss, label):
    fill()
    page, request = PAGES[label], asking(boss)
    row = page.model.objects.last()

    add = at.get(address(page.model, "add"))
    delete = at.get(address(page.model, "delete", name_of(row)))

    assert add.status_code == (200 if page.has_add_permission(request) else 403)
    assert delete.status_code == (200 if page.has_delete_permission(request, row) else 403)


@pytest.mark.parametrize("label", FACTS)
def test_fact_refuses_to_be_changed(at, label):
    fill()
    model = FACTS[label].model
    row = model.objects.first()
    before = model.objects.values().get(pk=row.pk)

    answers = [
        at.post(address(model, "add"), {}),
        at.post(address(model, "change", row.pk), {"_save": "1"}),
        at.post(address(model, "delete", row.pk), {"post": "yes"}),
        at.post(address(model), {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}),
    ]

    assert [answer.status_code for answer in answers[:3]] == [403, 403, 403]
    assert model.objects.values().get(pk=row.pk) == before


@pytest.mark.parametrize("label", PAGES)
def test_nobody_deletes_many_rows_at_once(boss, label):
    assert "delete_selected" not in PAGES[label].get_actions(asking(boss))


@pytest.mark.parametrize("label", PAGES)
def test_staff_without_permission_sees_nothing(client, label):
    staff(client)

    assert client.get(address(PAGES[label].model)).status_code == 403


@pytest.mark.parametrize("label", PAGES)
def test_list_takes_as_few_queries_for_many_rows_as_for_few(at, label):
    model = PAGES[label].model
    more(2)
    with CaptureQueriesContext(connection) as few:
        at.get(address(model))
    more(4)

    with CaptureQueriesContext(connection) as many:
        at.get(address(model))

    assert len(many) == len(few), [query["sql"][:200] for query in many]
    assert len(many) <= MAX_QUERIES


@pytest.mark.parametrize("label", PAGES)
def test_odd_input_in_the_address_is_never_a_failure(at, label):
    names = ["q", "p", "o", "e", *(getattr(entry, "parameter_name", entry) for entry in PAGES[label].list_filter)]
    asked = [dict.fromkeys(names, "\0"), *({name: "9" * 40} for name in names)]

    answers = {str(odd): at.get(address(PAGES[label].model), odd).status_code for odd in asked}

    assert set(answers.values()) <= {200, 302, 400}, answers


@pytest.mark.parametrize("model", [Ticket, Prediction, ApiKey, TrainingRun])
def test_odd_search_is_never_a_failure(at, model):
    answers = {odd[:20]: at.get(address(model), {"q": odd}).status_code for odd in ODD}

    assert set(answers.values()) <= {200}, answers


@pytest.mark.parametrize("label", PAGES)
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_page_of_no_row_is_never_a_failure(at, label, page):
    answers = [at.get(address(PAGES[label].model, page, odd)).status_code for odd in ("\0", "9" * 40, "x")]

    assert set(answers) <= {302, 403, 404}


@pytest.mark.parametrize("label", PAGES)
def test_lookup_that_no_filter_sends_is_refused(at, label):
    lookups = ("id__regex", "pk__regex", "created_at__regex", "text__startswith", "nothing")

    answers = [at.get(address(PAGES[label].model), {lookup: "("}).status_code for lookup in lookups]

    assert set(answers) == {400}


def test_hash_of_a_key_cannot_be_spelled_out_by_filters(at):
    assert at.get(address(ApiKey), {"hashed_key__startswith": "pbkdf2"}).status_code == 400


@pytest.mark.parametrize("label", PAGES)
def test_every_filter_of_a_list_answers(at, label):
    fill()
    links = set(re.findall(r'href="(\?[^"]+)"', at.get(address(PAGES[label].model)).content.decode()))

    answers = {link: at.get(address(PAGES[label].model) + link.replace("&amp;", "&")).status_code for link in links}

    assert set(answers.values()) <= {200}, answers


def test_names_search_of_the_theme_is_closed(at):
    assert at.get("/admin/search/", {"s": "ticket", "page": "x"}).status_code == 404


# --- Finding the way ------------------------------------------------------------------------------
def test_every_page_has_its_place_in_the_navigation():
    places = {place.model for group in navigation.GROUPS.values() for place in group} | set(navigation.SCHEDULES)

    assert places == set(admin.site._registry)


def test_front_page_leads_to_what_one_may_see_and_to_nothing_else(client):
    staff(client, "view_ticket")

    page = client.get("/admin/").content.decode()

    assert address(Ticket) in page
    assert address(ApiKey) not in page
    assert "No version is in production" not in page


def test_front_page_of_somebody_without_permissions_says_whom_to_ask(client):
    staff(client)

    assert "Ask an administrator" in client.get("/admin/").content.decode()


def test_long_list_is_counted_to_its_limit_and_says_so(at, monkeypatch):
    monkeypatch.setattr(base, "COUNTED", 2)
    for number in range(4):
        factories.make_ticket(f"ticket {number}")

    page = at.get(address(Ticket))

    assert page.context["cl"].result_count == 2
    assert "more than 2 tickets" in " ".join(page.content.decode().split())


# --- Tickets --------------------------------------------------------------------------------------
@pytest.mark.parametrize("search", ["PARCEL lost", "#{pk}", "{pk}", "Z-9", " lost\0 "])
def test_ticket_is_found_by_words_number_and_external_id(at, search):
    ticket = factories.make_ticket("My parcel is lost", external_id="Z-9")
    factories.make_ticket("My card was charged twice")

    found = at.get(address(Ticket), {"q": search.format(pk=ticket.pk)}).context["cl"].result_list

    assert list(found) == [ticket]


def test_search_that_finds_too_many_shows_the_newest_and_says_so(at, monkeypatch):
    monkeypatch.setattr(tickets, "FOUND_TICKETS", 2)
    made = [factories.make_ticket(f"parcel {number}") for number in range(4)]

    page = at.get(address(Ticket), {"q": "parcel"})

    assert [ticket.pk for ticket in page.context["cl"].result_list] == [made[3].pk, made[2].pk]
    assert "More than 2 tickets match" in page.content.decode()


def test_search_reads_the_newest_tickets_only(at, monkeypatch):
    monkeypatch.setattr(tickets, "SEARCHED_TICKETS", 1)
    monkeypatch.setattr(tickets, "WINDOW_TICKETS", 1)
    old, new = factories.make_ticket("parcel one", external_id="old"), factories.make_ticket("parcel two")

    assert list(at.get(address(Ticket), {"q": "parcel"}).context["cl"].result_list) == [new]
    assert list(at.get(address(Ticket), {"q": "old"}).context["cl"].result_list) == [old]


def test_search_for_a_rare_word_takes_few_queries(at, monkeypatch):
    windows = tickets.SEARCHED_TICKETS // tickets.WINDOW_TICKETS
    monkeypatch.setattr(tickets, "SEARCHED_TICKETS", windows)
    monkeypatch.setattr(tickets, "WINDOW_TICKETS", 1)
    more(windows + 1)

    with CaptureQueriesContext(connection) as queries:
        found = at.get(address(Ticket), {"q": "parcel number 1"}).context["cl"].result_list

    assert [ticket.text for ticket in found] == ["Where is parcel number 1?"]
    assert len(queries) <= MAX_QUERIES


def test_answers_of_a_ticket_are_found_by_its_number(at):
    more(2)
    ticket = Ticket.objects.last()

    for model in (Prediction, Label):
        found = at.get(address(model), {"q": f"#{ticket.pk}"}).context["cl"].result_list
        assert [row.ticket_id for row in found] == [ticket.pk]
        assert len(at.get(address(model), {"q": "Z-1"}).context["cl"].result_list) == 1
        assert len(at.get(address(model), {"q": "nobody"}).context["cl"].result_list) == 0


@pytest.mark.parametrize(("value", "expected"), [("none", "b"), ("billing", "a")])
def test_tickets_are_filtered_by_their_current_label(at, value, expected):
    pair = {"a": factories.make_ticket("card"), "b": factories.make_ticket("parcel")}
    label_as(pair["a"], "billing")

    found = at.get(address(Ticket), {"label": value}).context["cl"].result_list

    assert list(found) == [pair[expected]]


def test_label_set_on_a_tickets_page_is_a_reviewers_and_the_only_current_one(at, boss):
    ticket = factories.make_ticket()
    old = label_as(ticket, "billing", Label.Source.AGENT)
    shipping = factories.make_categories(["shipping"])[0]

    answer = at.post(address(Ticket, "change", ticket.pk), {"label": shipping.pk})

    assert answer.status_code == 302
    current = Label.objects.current().get(ticket=ticket)
    assert (current.category, current.source, current.by) == (shipping, Label.Source.REVIEWER, boss)
    old.refresh_from_db()
    assert old.ended_at is not None


def test_first_label_gives_the_ticket_its_place(at):
    ticket = factories.make_ticket()
    billing = factories.make_categories(["billing"])[0]

    at.post(address(Ticket, "change", ticket.pk), {"label": billing.pk})

    ticket.refresh_from_db()
    assert ticket.split is not None
    assert ticket.group == ticket.pk


def test_saving_a_ticket_unchanged_says_nothing_new(at):
    ticket = factories.make_ticket()
    label = label_as(ticket, "billing", Label.Source.IMPORT)

    at.post(address(Ticket, "change", ticket.pk), {"label": label.category_id})

    assert list(Label.objects.all()) == [label]


def test_saving_a_label_that_a_program_set_confirms_it(at):
    ticket = factories.make_ticket()
    label = label_as(ticket, "billing", Label.Source.API)

    at.post(address(Ticket, "change", ticket.pk), {"label": label.category_id})

    assert Label.objects.current().get(ticket=ticket).source == Label.Source.REVIEWER


def test_pages_say_whose_word_a_label_is(at, boss):
    ticket, key = factories.make_ticket(), factories.make_key("label", name="help desk")[0]
    category = factories.make_categories(["billing"])[0]
    labelling.set_label(ticket, category, source="api", key=key, now=timezone.now())
    labelling.set_label(ticket, category, source="reviewer", by=boss, now=timezone.now())

    pages = [at.get(address(Label)), at.get(address(Ticket, "change", ticket.pk))]

    for page in pages:
        assert "API key help desk" in page.content.decode()
        assert "reviewer" in page.content.decode()


def test_label_cannot_be_taken_away(at):
    ticket = factories.make_ticket()
    label = label_as(ticket, "billing")

    answer = at.post(address(Ticket, "change", ticket.pk), {"label": ""})

    assert answer.context["adminform"].form.errors["label"]
    assert list(Label.objects.current()) == [label]


def test_ticket_without_label_can_stay_so(at):
    ticket = factories.make_ticket()

    assert at.post(address(Ticket, "change", ticket.pk), {"label": ""}).status_code == 302
    assert not Label.objects.exists()


def test_retired_category_is_offered_only_where_it_stands(at):
    ticket, other = factories.make_ticket("one"), factories.make_ticket("two")
    retired = label_as(ticket, "billing").category
    Category.objects.update(active=False)

    def offered(row: Ticket) -> list[Category]:
        return list(at.get(address(Ticket, "change", row.pk)).context["adminform"].form.fields["label"].queryset)

    assert offered(ticket) == [retired]
    assert offered(other) == []


def test_ticket_whose_text_was_removed_cannot_be_labelled(at):
    ticket = factories.make_ticket("Removed.", text_removed_at=timezone.now())
    billing = factories.make_categories(["billing"])[0]

    page = at.get(address(Ticket, "change", ticket.pk)).content.decode()
    answer = at.post(address(Ticket, "change", ticket.pk), {"label": billing.pk})

    assert "was removed, as it was too old. Import" in page
    assert (answer.status_code, Label.objects.count()) == (302, 0)


def test_saving_a_ticket_changes_no_column_of_it(at):
    ticket = factories.make_ticket("My parcel")
    billing = factories.make_categories(["billing"])[0]

    at.post(
        address(Ticket, "change", ticket.pk), {"label": billing.pk, "text": "other", "is_demo": "on", "source": "page"}
    )

    ticket.refresh_from_db()
    assert (ticket.text, ticket.is_demo, ticket.source) == ("My parcel", False, "api")


def test_who_may_only_look_at_tickets_cannot_label_them(client):
    staff(client, "view_ticket")
    ticket = factories.make_ticket()
    label_as(ticket, "billing")

    assert "billing" in client.get(address(Ticket, "change", ticket.pk)).content.decode()
    assert client.post(address(Ticket, "change", ticket.pk), {"label": "1"}).status_code == 403


def test_only_a_superuser_deletes_a_ticket(client, boss):
    fill()
    ticket = Ticket.objects.get()
    staff(client, "view_ticket", "change_ticket", "delete_ticket")
    assert client.post(address(Ticket, "delete", ticket.pk), {"post": "yes"}).status_code == 403
    client.force_login(boss)

    asked = client.get(address(Ticket, "delete", ticket.pk)).content.decode()
    client.post(address(Ticket, "delete", ticket.pk), {"post": "yes"})

    assert "Predictions: 1" in asked
    assert not Ticket.objects.exists()
    assert not Prediction.objects.exists()


# --- Categories -----------------------------------------------------------------------------------
def test_slug_of_a_category_is_given_once(at):
    at.post(address(Category, "add"), {"slug": "billing", "name": "Billing", "description": "Bills.", "active": "on"})
    category = Category.objects.get()

    at.post(address(Category, "change", category.pk), {"slug": "other", "name": "Bills", "description": ""})

    category.refresh_from_db()
    assert (category.slug, category.name, category.active) == ("billing", "Bills", False)


def test_category_in_use_is_not_deleted_and_the_page_says_what_to_do(at):
    fill()
    category = Label.objects.get().category

    asked = at.get(address(Category, "delete", category.pk)).content.decode()
    at.post(address(Category, "delete", category.pk), {"post": "yes"})

    assert "1 label" in asked
    assert "Retire it instead" in asked
    assert Category.objects.filter(pk=category.pk).exists()


def test_category_that_nothing_refers_to_is_deleted(at):
    category = factories.make_categories(["billing"])[0]

    at.post(address(Category, "delete", category.pk), {"post": "yes"})

    assert not Category.objects.exists()


# --- Keys -----------------------------------------------------------------------------------------
def add_key(at: Any, **fields: Any) -> Any:
    return at.post(address(ApiKey, "add"), {"name": "helpdesk", "scopes": ["predict", "read"], **fields})


def key_in(answer: Any) -> str:
    return re.search(r'id="new-key"[^>]*>([^<]+)<', answer.content.decode()).group(1)


def test_new_key_is_shown_once_and_only_its_hash_is_kept(at):
    answer = add_key(at)
    key = key_in(answer)

    row = ApiKey.objects.get()
    assert ApiKey.objects.valid(key) == row
    assert (row.name, row.scopes) == ("helpdesk", ["predict", "read"])
    assert key not in str(ApiKey.objects.values())
    assert "no-store" in answer["Cache-Control"]
    assert "messages" not in answer.cookies
    assert words_of(answer) == []
    for page in (address(ApiKey), address(ApiKey, "change", row.prefix), address(ApiKey, "history", row.prefix)):
        assert key not in at.get(page).content.decode()


def test_hash_of_a_key_stands_on_no_page_and_in_no_address(at):
    add_key(at)
    row = ApiKey.objects.get()
    ApiRequest.objects.create(key=row, route="predict", method="POST", status=200, latency_ms=1.0)
    at.post(address(ApiKey, "change", row.prefix), {"name": "desk", "scopes": ["predict"]})
    pages = [
        address(ApiKey), address(ApiKey, "change", row.prefix), address(ApiKey, "history", row.prefix),
        address(ApiKey, "revoke", row.prefix), address(ApiRequest), "/admin/",
    ]  # fmt: skip

    for page in pages:
        text = at.get(page).content.decode()
        assert "desk" in text or page == "/admin/", page
        assert row.hashed_key not in text, page
        assert row.pk not in text, page


@pytest.mark.parametrize("fields", [{"scopes": []}, {"scopes": ["everything"]}, {"name": ""}, {"name": "a\0b"}])
def test_key_without_name_or_known_scope_is_not_made(at, fields):
    assert add_key(at, **fields).context["adminform"].form.errors
    assert not ApiKey.objects.exists()


def test_key_can_be_renamed_and_stays_the_same_key(at):
    row, key = factories.make_key()

    at.post(
        address(ApiKey, "change", row.prefix), {"name": "desk", "scopes": ["label"], "hashed_key": "x", "prefix": "x"}
    )

    found = ApiKey.objects.valid(key)
    assert (found.name, found.scopes, found.hashed_key) == ("desk", ["label"], row.hashed_key)


def test_renaming_a_key_does_not_bring_back_one_revoked_in_between(at, monkeypatch):
    row, _key = factories.make_key()
    page = admin.site.get_model_admin(ApiKey)
    stale = ApiKey.objects.get(prefix=row.prefix)
    ApiKey.objects.update(revoked=True)
    stale.name = "desk"

    page.save_model(None, stale, type("Form", (), {"changed_data": ["name"]}), change=True)

    assert ApiKey.objects.get().revoked
    assert ApiKey.objects.get().name == "desk"


def test_revoking_a_key_asks_first_and_is_on_record(at):
    row, key = factories.make_key()
    revoke = address(ApiKey, "revoke", row.prefix)

    asked = at.get(revoke)
    assert ApiKey.objects.valid(key)
    answer = at.post(revoke)

    assert "cannot be undone" in asked.content.decode()
    assert words_of(answer) == ["The key test is revoked. Calls with it are refused from now on."]
    with pytest.raises(ApiKey.DoesNotExist):
        ApiKey.objects.valid(key)
    assert "Revoked." in at.get(address(ApiKey, "history", row.prefix)).content.decode()


def test_revoked_key_cannot_be_edited_or_revoked_again(at):
    row, _key = factories.make_key()
    ApiKey.objects.update(revoked=True)

    answer = at.post(address(ApiKey, "change", row.prefix), {"name": "desk", "scopes": ["promote"]})
    page = at.get(address(ApiKey, "change", row.prefix)).content.decode()

    assert answer.status_code == 403
    row.refresh_from_db()
    assert (row.name, row.scopes, row.revoked) == ("test", ["predict"], True)
    assert address(ApiKey, "revoke", row.prefix) not in page


def test_revoking_a_key_that_is_not_there_leads_back(at):
    assert at.post(address(ApiKey, "revoke", "nobody")).url == "/admin/"


def test_who_may_only_look_at_keys_cannot_revoke_one(client):
    staff(client, "view_apikey")
    row, key = factories.make_key()

    assert client.post(address(ApiKey, "revoke", row.prefix)).status_code == 403
    assert ApiKey.objects.valid(key)


@pytest.mark.parametrize("state", ["active", "expired", "revoked"])
def test_keys_are_filtered_by_their_state(at, state):
    factories.make_key(name="active")
    factories.make_key(name="expired", expiry_date=timezone.now() - timedelta(days=1))
    factories.make_key(name="revoked")
    ApiKey.objects.filter(name="revoked").update(revoked=True)

    found = at.get(address(ApiKey), {"state": state}).context["cl"].result_list

    assert [key.name for key in found] == [state]


def test_requests_name_their_caller_and_are_filtered_by_how_they_went(at, boss):
    key = factories.make_key(name="helpdesk")[0]
    made = {"method": "POST", "route": "predict", "latency_ms": 4.5}
    answered = ApiRequest.objects.create(key=key, status=200, **made)
    refused = ApiRequest.objects.create(user=boss, status=403, code="scope_missing", **made)
    failed = ApiRequest.objects.create(key=key, status=503, **made)

    searches = ("DESK", key.prefix, "predict", "nobody")

    def shown(status: str) -> list[ApiRequest]:
        return list(at.get(address(ApiRequest), {"status": status}).context["cl"].result_list)

    assert [shown("2"), shown("4"), shown("5"), shown("x")] == [
        [answered],
        [refused],
        [failed],
        [failed, refused, answered],
    ]
    assert [len(at.get(address(ApiRequest), {"q": name}).context["cl"].result_list) for name in searches] == [
        2,
        2,
        3,
        0,
    ]
    page = at.get(address(ApiRequest)).content.decode()
    assert address(ApiKey, "change", key.prefix) in page
    assert address(User, "change", boss.pk) in page


# --- People ---------------------------------------------------------------------------------------
def test_person_who_labelled_tickets_is_not_deleted(at):
    fill()
    person = User.objects.get(username="person 0")

    asked = at.get(address(User, "delete", person.pk)).content.decode()
    at.post(address(User, "delete", person.pk), {"post": "yes"})

    assert "1 label" in asked
    assert User.objects.filter(pk=person.pk).exists()


def test_group_is_offered_permissions_of_pages_only(at):
    form = at.get(address(Group, "add")).context["adminform"].form

    offered = {permission.content_type.app_label for permission in form.fields["permissions"].queryset}

    assert offered <= {"admin", "axes", "classifier", "mlops", "auth", "django_celery_beat"}


def test_all_pages_are_careful():
    assert [label for label, page in PAGES.items() if not isinstance(page, CarefulAdmin)] == []
