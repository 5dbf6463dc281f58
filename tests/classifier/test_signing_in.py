"""The doors: sign-in, lock-out, sign-out, password, the way from the admin, and how long a session lasts."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth import SESSION_KEY
from django.core.management import call_command
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from classifier import lockout, signing_in
from classifier.models import User
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough one"
WRONG = "not this one, 4711"


@pytest.fixture
def ada() -> User:
    return factories.make_user("ada")


def sign_in(username: str = "ada", password: str = PASSWORD, *, client: Client | None = None, **more: Any) -> Any:
    fields = {"username": username, "password": password, **more.pop("fields", {})}
    return (client or Client()).post("/sign-in", fields, **more)


def fail(times: int, username: str = "ada", **more: Any) -> list[int]:
    return [sign_in(username, WRONG, **more).status_code for _ in range(times)]


def wind_back(minutes: float) -> None:
    for attempt in AccessAttempt.objects.all():
        AccessAttempt.objects.filter(pk=attempt.pk).update(
            attempt_time=attempt.attempt_time - timedelta(minutes=minutes)
        )


# --- In -------------------------------------------------------------------------------------------
def test_sign_in_leads_to_the_overview(ada, client):
    form = client.get("/sign-in")
    answer = sign_in(client=client)

    assert form.status_code == 200
    assert (answer.status_code, answer.url) == (302, "/")
    assert client.session[SESSION_KEY] == str(ada.pk)


@pytest.mark.parametrize("next_", ["/quality?range=7d", "/admin/classifier/ticket/"])
def test_sign_in_leads_to_the_page_that_was_asked_for(ada, client, next_):
    form = client.get("/sign-in", {"next": next_}).content.decode()

    assert f'name="next" value="{next_}"' in form
    assert sign_in(fields={"next": next_}).url == next_


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example.com/",
        "//evil.example.com",
        "/\\evil.example.com",
        "http:///evil.example.com",
        "javascript:alert(1)",
        "\0",
        "\n/x",
        "",
        "/sign-in",
        "/sign-in?next=/sign-in",
        "/admin/login/?next=/admin/",
    ],
)
def test_next_of_another_host_or_of_the_door_itself_is_not_followed(ada, client, next_):
    assert sign_in(fields={"next": next_}, client=client).url == "/"
    assert client.get("/sign-in", {"next": next_}).url == "/", "signed in already"


def test_signed_in_already_is_led_on(at):
    assert at.get("/sign-in").url == "/"
    assert at.get("/sign-in", {"next": "/drift"}).url == "/drift"


@pytest.mark.parametrize(
    ("username", "password"), [("ada", WRONG), ("nobody", PASSWORD), ("Ada", PASSWORD), ("x" * 5000, PASSWORD)]
)
def test_wrong_pair_is_refused_with_one_sentence_for_all(ada, username, password):
    answer = sign_in(username, password)

    assert answer.status_code == 200
    assert "do not match" in answer.text
    assert "autofocus" in answer.text


@pytest.mark.parametrize("username", ["", "\0", "a\0da", "²", "' OR 1=1 --", "ada " * 100, "\ud7ff"])
def test_odd_user_name_is_never_a_failure(ada, username):
    assert sign_in(username).status_code == 200


def test_somebody_inactive_does_not_get_in():
    factories.make_user("gone", is_active=False)

    assert sign_in("gone").status_code == 200


# --- Lock-out -------------------------------------------------------------------------------------
def test_fifth_failure_locks_out_with_a_page_that_says_until_when(ada, settings):
    settings.DISPLAY_TIME_ZONE = "Asia/Kolkata"

    assert fail(5) == [200, 200, 200, 200, 429]
    answer = sign_in()

    assert answer.status_code == 429
    assert re.search(r"Try again at \d\d:\d\d \(IST\)</strong>, in 15 minutes", answer.text)
    assert 800 < int(answer["Retry-After"]) <= 900
    assert answer["Cache-Control"] == "no-store"
    assert "axes_reset_username" in answer.text


def test_lock_ends_after_its_time_and_trying_meanwhile_does_not_prolong_it(ada):
    fail(5)
    wind_back(10)

    assert fail(3) == [429] * 3
    wind_back(5.1)

    assert sign_in().status_code == 302


def test_lock_is_for_one_user_name_from_one_address(ada):
    factories.make_user("bea")
    fail(5)

    assert sign_in("bea").status_code == 302
    assert sign_in(REMOTE_ADDR="203.0.113.9").status_code == 302
    assert sign_in().status_code == 429


def test_another_browser_does_not_get_around_the_lock(ada):
    agents = [f"browser {number}" for number in range(6)]

    assert [fail(1, headers={"user-agent": agent})[0] for agent in agents] == [200] * 4 + [429] * 2


def test_lock_of_many_browsers_ends_when_the_failures_left_are_too_few(ada):
    for number in range(5):
        wind_back(1)
        fail(1, headers={"user-agent": f"browser {number}"})

    assert 600 < int(sign_in()["Retry-After"]) <= 660, "the first of the five is over in eleven minutes"


def test_successful_sign_in_begins_the_count_anew(ada):
    fail(4)
    sign_in()

    assert fail(4) == [200] * 4
    assert sign_in().status_code == 302
    assert not AccessAttempt.objects.exists()


def test_limits_come_from_the_settings(ada, settings):
    settings.AXES_FAILURE_LIMIT = 2
    settings.AXES_COOLOFF_TIME = timedelta(minutes=3)

    assert fail(2) == [200, 429]
    assert "in 3 minutes" in sign_in().text


def test_axes_reset_lifts_the_lock(ada):
    fail(5)
    call_command("axes_reset", stdout=StringIO())

    assert sign_in().status_code == 302


def test_somebody_who_is_signed_in_stays_so_while_the_door_is_locked(at):
    fail(5)

    assert at.get("/").status_code == 200


def test_counts_are_kept_where_all_processes_see_them(ada):
    fail(5)

    (attempt,) = AccessAttempt.objects.all()
    assert (attempt.username, attempt.ip_address, attempt.failures_since_start) == ("ada", "127.0.0.1", 5)


def test_old_failures_go_by_themselves():
    fail(1, "bea")
    wind_back(16)
    fail(1, "cem")

    assert [attempt.username for attempt in AccessAttempt.objects.all()] == ["cem"]


def test_nothing_that_was_sent_is_kept_or_logged_but_the_user_name(ada, caplog, capfd):
    caplog.set_level("DEBUG")
    sign_in("ada", WRONG, fields={"next": "/quality?x=4711", "note": "card 4711"}, QUERY_STRING="q=4711")
    fail(5)
    sign_in()

    rows = [*AccessAttempt.objects.values(), *AccessLog.objects.values(), *AccessFailureLog.objects.values()]
    assert len(rows) == 1
    assert "4711" not in str(rows)
    assert PASSWORD not in str(rows)
    written = caplog.text + "".join(capfd.readouterr())
    assert "4711" not in written
    assert PASSWORD not in written


def test_log_tells_failures_and_the_lock_as_fields(ada, caplog):
    fail(5)

    told = [record.msg for record in caplog.records if record.name == "classifier.lockout"]
    assert [(line["event"], line["failures"], line["locked_out"]) for line in told] == [
        ("sign-in failed", number, number == 5) for number in range(1, 6)
    ]
    assert not [record for record in caplog.records if record.name.startswith("axes") and record.levelname != "ERROR"]


@pytest.mark.django_db(transaction=True)
def test_failures_at_the_same_time_are_all_counted():
    factories.make_user("ada")

    def once() -> None:
        fail(1)
        connection.close()

    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert AccessAttempt.objects.get().failures_since_start == 4


# --- Whose address --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("behind_proxy", "remote", "forwarded", "wanted"),
    [
        (False, "192.0.2.1", "203.0.113.7", "192.0.2.1"),
        (True, "10.0.0.1", "203.0.113.7", "203.0.113.7"),
        (True, "10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (True, "10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        (True, "10.0.0.1", "unknown", "10.0.0.1"),
        (True, "10.0.0.1", "203.0.113.7, ", "10.0.0.1"),
        (True, "10.0.0.1", None, "10.0.0.1"),
        (False, "2001:db8:1:2:3:4:5:6", None, "2001:db8:1:2::"),
        (False, "::1", None, "::1"),
        (False, "fe80::1%eth0", None, "fe80::"),
        (False, "", None, None),
        (False, "/run/socket", None, None),
    ],
)
def test_address_is_believed_from_the_own_proxy_alone(settings, behind_proxy, remote, forwarded, wanted):
    settings.BEHIND_PROXY = behind_proxy
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}

    assert lockout.address_of(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)) == wanted


def test_made_up_header_neither_locks_out_others_nor_gets_around_the_lock(ada, settings):
    fail(5, headers={"x-forwarded-for": "203.0.113.7"})
    assert sign_in(REMOTE_ADDR="203.0.113.7").status_code == 302
    assert sign_in(headers={"x-forwarded-for": "203.0.113.8"}).status_code == 429

    settings.BEHIND_PROXY = True
    made_up = [f"198.51.100.{number}, 203.0.113.9" for number in range(6)]
    assert [fail(1, headers={"x-forwarded-for": each})[0] for each in made_up] == [200] * 4 + [429] * 2


# --- Out, and the password ------------------------------------------------------------------------
def test_sign_out_takes_a_post_and_ends_the_session(at):
    assert at.get("/sign-out").status_code == 405
    assert SESSION_KEY in at.session

    answer = at.post("/sign-out")

    assert answer.url == "/sign-in"
    assert SESSION_KEY not in at.session


def test_doors_refuse_a_post_without_csrf_token(boss):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(boss)

    for door in ("/sign-in", "/sign-out", "/password", "/admin/logout/"):
        assert strict.post(door, {}).status_code == 403, door


def test_password_is_changed_and_other_sessions_end(at, boss):
    other = Client()
    other.force_login(boss)
    new = "quite another one"

    assert at.get("/password").status_code == 200
    answer = at.post("/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})

    assert answer.url == "/"
    assert at.get("/password").status_code == 200
    assert other.get("/password").url == "/sign-in?next=/password"
    assert sign_in(password=new).status_code == 302


@pytest.mark.parametrize(("old", "new"), [(WRONG, "quite another one"), (PASSWORD, "12345"), (PASSWORD, "password123")])
def test_password_that_is_weak_or_without_the_old_one_is_refused(at, boss, old, new):
    answer = at.post("/password", {"old_password": old, "new_password1": new, "new_password2": new})

    assert answer.status_code == 200
    assert 'class="errors"' in answer.text
    boss.refresh_from_db()
    assert boss.check_password(PASSWORD)


# --- The admin's door -----------------------------------------------------------------------------
def test_admin_leads_to_the_one_door_and_back(client, boss):
    asked = client.get("/admin/classifier/ticket/?q=refund", follow=True)

    assert asked.redirect_chain[-1][0] == "/sign-in?next=%2Fadmin%2Fclassifier%2Fticket%2F%3Fq%3Drefund"
    assert sign_in(fields={"next": asked.context["next"]}, client=client).url == "/admin/classifier/ticket/?q=refund"
    assert Client().get("/admin/login/").url == "/sign-in?next=%2Fadmin%2F"


def test_who_is_no_staff_is_told_so_and_not_sent_round_in_a_circle(client):
    client.force_login(User.objects.create_user("eve", password=PASSWORD))

    answer = client.get("/admin/", follow=True)

    assert answer.status_code == 403
    assert "only staff may enter" in answer.text
    assert len(answer.redirect_chain) == 1


def test_admins_sign_out_leads_to_the_door(at):
    assert at.post("/admin/logout/").url == "/sign-in"


# --- Sessions and cookies -------------------------------------------------------------------------
def test_cookies_are_out_of_reach_of_scripts_and_other_sites(ada, client, settings):
    client.get("/sign-in")
    sign_in(client=client)
    session, token = client.cookies["sessionid"], client.cookies["csrftoken"]

    assert (session["httponly"], session["samesite"], session["max-age"]) == (True, "Lax", 12 * 3600)
    assert (token["httponly"], token["samesite"]) == (True, "Lax")
    assert settings.SESSION_COOKIE_SECURE == settings.CSRF_COOKIE_SECURE == settings.HTTPS


def test_session_is_renewed_by_work_and_seldom_written(at, monkeypatch):
    now = timezone.now().timestamp()
    at.get("/password")
    with CaptureQueriesContext(connection) as soon:
        assert "sessionid" not in at.get("/password").cookies

    monkeypatch.setattr(signing_in.time, "time", lambda: now + 1801)
    later = at.get("/password")

    assert not [query for query in soon if "UPDATE" in query["sql"]]
    assert later.cookies["sessionid"]["max-age"] == 12 * 3600


def test_page_that_refreshes_itself_keeps_nobody_signed_in(at, monkeypatch):
    now = timezone.now().timestamp()
    monkeypatch.setattr(signing_in.time, "time", lambda: now + 1801)

    answer = at.get("/", headers={"x-requested-with": "fetch"})

    assert answer.status_code == 200
    assert "sessionid" not in answer.cookies


# --- The page in the admin ------------------------------------------------------------------------
def test_admin_shows_who_is_locked_out_from_where_until_when(at):
    fail(3, headers={"user-agent": "one"})
    fail(2, headers={"user-agent": "two"})
    fail(1, "bea")

    listed = at.get("/admin/axes/accessattempt/").text
    row = AccessAttempt.objects.filter(username="ada").first()
    shown = at.get(f"/admin/axes/accessattempt/{row.pk}/change/").text

    assert listed.count("locked out") == 2
    assert "manage.py axes_reset_username ada" in shown
    assert "<time" in shown.split("ocked out until")[1][:600]
