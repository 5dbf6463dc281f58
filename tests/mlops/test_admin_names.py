"""One thing has one name in the admin: in the sidebar, in headings, in counts, and where packages brought their own."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from classifier.models import ApiKey, ApiRequest, Category, ModelVersion
from mlops import places
from mlops.admin import navigation
from mlops.models import AliasMove, ImportJob, Slot
from tests import factories
from tests.classifier.test_admin import address, fill, name_of, staff

pytestmark = pytest.mark.django_db
PACKAGES_WORDS = ("Mlops", "Classifier", "Slot", "Retrain decision", "Alias move", "Model version", "Periodic", "Api ")

NO_TASKS = {"periodictask_set-TOTAL_FORMS": "0", "periodictask_set-INITIAL_FORMS": "0"}


def words(html: str) -> str:
    """What a person reads of it: no script, no style, no markup."""
    return " ".join(unescape(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)).split())


def heading(html: str) -> str:
    return html.partition("<h1")[2].partition("</h1>")[0].partition(">")[2]


@pytest.mark.parametrize("place", [place for group in navigation.GROUPS.values() for place in group], ids=str)
def test_heading_and_title_of_a_list_are_the_sidebars_words(at, place):
    page = at.get(place.address).content.decode()

    assert f"<title> {place.title} |" in " ".join(page.split())
    assert f'href="{place.address}"' in heading(page)
    assert words(heading(page)).endswith(place.title)


@pytest.mark.parametrize("model", [*admin.site._registry])
def test_no_page_speaks_of_tables_and_packages(at, model):
    fill()

    pages = [at.get(address(model)), at.get(address(model, "change", name_of(model.objects.first())))]

    for page in pages:
        assert not [word for word in PACKAGES_WORDS if word in words(page.content.decode())]


@pytest.mark.parametrize(
    ("model", "plural"),
    [
        (Slot, "schedule log"), (AliasMove, "MLflow alias"), (ModelVersion, "versions"), (ApiRequest, "API requests"),
        (ApiKey, "API keys"), (ImportJob, "imports"), (LogEntry, "changes by hand"), (PeriodicTask, "schedules"),
        (ClockedSchedule, "moments"),
    ],
)  # fmt: skip
def test_rows_are_called(model, plural):
    assert model._meta.verbose_name_plural == plural


def test_rows_whose_name_cannot_be_counted_are_counted_as_lines_and_moves(at):
    Slot.objects.create(name="Beat", task="mlops.tasks.heartbeat", due_at=timezone.now())
    AliasMove.objects.create(decision="followed", left=2, words="It followed.")

    assert "1 line" in words(at.get(address(Slot)).content.decode())
    assert "1 move" in words(at.get(address(AliasMove)).content.decode())


def test_group_is_offered_permissions_in_the_pages_words(at):
    page = words(at.get("/admin/auth/group/add/").content.decode())

    assert "Schedule log: see" in page
    assert "Schedules: change" in page
    assert "Tickets: May import tickets from a file" in page


# --- Changes by hand ------------------------------------------------------------------------------
def test_change_is_listed_with_who_did_what_to_which_row_and_leads_there(at, boss):
    category = factories.make_categories(["billing"])[0]
    at.post(
        address(Category, "change", category.pk),
        {"name": "Bills", "description": "", "active": "on", "target_precision": ""},
    )

    page = at.get(address(LogEntry)).content.decode()

    assert "Changed Name." in words(page)
    assert f'href="{address(Category, "change", category.pk)}"' in page
    assert "ada" in words(page)


@pytest.mark.parametrize("search", ["ada", "billing", "{pk}"])
@pytest.mark.parametrize(
    "filters", [{}, {"deed": "changed"}, {"kind": "classifier.category"}, {"deed": "changed", "kind": "x"}]
)
def test_changes_are_found_by_person_name_and_number(at, boss, search, filters):
    category = factories.make_categories(["billing"])[0]
    other = factories.make_user("cem")
    kind = ContentType.objects.get_for_model(Category)
    for user, pk, name in ((boss, category.pk, "billing"), (other, category.pk + 1000, "general")):
        LogEntry.objects.create(user=user, content_type=kind, object_id=pk, object_repr=name, action_flag=CHANGE)

    found = at.get(address(LogEntry), {"q": search.format(pk=category.pk), **filters}).context["cl"].result_list

    assert [entry.object_repr for entry in found] == ([] if filters.get("kind") == "x" else ["billing"])


def test_change_to_what_was_removed_since_has_no_link(at, boss):
    kind = ContentType.objects.get_for_model(Category)
    LogEntry.objects.create(user=boss, content_type=kind, object_id=77, object_repr="gone", action_flag=3)

    assert "category/77" not in at.get(address(LogEntry)).content.decode()


def test_history_of_a_row_says_when_who_and_what_in_the_words_of_the_other_pages(at, boss):
    category = factories.make_categories(["billing"])[0]
    kind = ContentType.objects.get_for_model(Category)
    untouched = words(at.get(address(Category, "history", category.pk)).content.decode())
    LogEntry.objects.create(
        user=boss, content_type=kind, object_id=category.pk, object_repr="billing", action_flag=CHANGE,
        change_message="Renamed.", action_time=datetime(2026, 11, 25, 9, 8, 7, tzinfo=UTC),
    )  # fmt: skip

    changed = words(at.get(address(Category, "history", category.pk)).content.decode())

    assert "Nobody has changed it here." in untouched
    assert "Time By What was done 2026-11-25 09:08:07 ada Renamed." in changed


# --- Times ----------------------------------------------------------------------------------------
def test_typed_time_is_read_in_the_zone_that_times_are_shown_in_and_the_form_says_so(at, monkeypatch):
    monkeypatch.setattr(settings, "DISPLAY_TIME_ZONE", "Europe/Berlin")

    form = at.get(address(ClockedSchedule, "add")).content.decode()
    at.post(address(ClockedSchedule, "add"), {"clocked_time_0": "2026-12-24", "clocked_time_1": "18:00:00", **NO_TASKS})

    assert "Times here are Europe/Berlin." in form
    moment = ClockedSchedule.objects.get().clocked_time
    assert moment == datetime(2026, 12, 24, 18, tzinfo=ZoneInfo("Europe/Berlin"))


def test_zone_of_the_admin_ends_with_its_answer(at, monkeypatch):
    monkeypatch.setattr(settings, "DISPLAY_TIME_ZONE", "Europe/Berlin")

    at.get(address(ClockedSchedule))

    assert timezone.get_current_timezone_name() == "UTC"


# --- The pages of the dashboard -------------------------------------------------------------------
def test_sidebar_leads_to_the_pages_that_one_may_open_and_to_no_other(client):
    staff(client, "view_ticket", "scope_read")

    groups = client.get("/admin/").context["sidebar_navigation"]

    open_to_readers = [page for pages in places.GROUPS.values() for page in pages if page.permission == places.READ]
    assert [group["title"] for group in groups] == ["Dashboard", "Tickets"]
    assert [item["link"] for item in groups[0]["items"]] == [page.address for page in open_to_readers]
    assert groups[0]["items"][0]["link"] == "/"


def test_sidebar_of_who_may_open_no_page_has_no_dashboard(client):
    staff(client, "view_ticket")

    assert [group["title"] for group in client.get("/admin/").context["sidebar_navigation"]] == ["Tickets"]
