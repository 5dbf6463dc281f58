"""Model quality: its figures are the stored ones, its cells lead to their tickets, and nothing odd breaks it."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.labelling import set_label
from classifier.models import Category, Label, ModelVersion, Ticket, User
from mlops.dashboards import mistakes
from mlops.dashboards.versions import Columns
from mlops.models import Promotion
from tests.factories import make_categories, make_ticket, make_user, make_version
from tests.mlops.paging import make_answer
from tests.mlops.tested import SIX, make_tested, make_tested_tickets

pytestmark = pytest.mark.django_db
CELL = re.compile(r'<a href="(/quality/tickets[^"]+)" title="[^"]+">([\d,]+)</a>')


def cells(page: Any) -> dict[str, int]:
    """The numbers of the matrix that lead somewhere, by their address."""
    return {unescape(address): int(count) for address, count in CELL.findall(page.text)}


def correct(ticket: Ticket, slug: str, *, hours: int = 0, source: str = "reviewer") -> Label:
    moment = timezone.now() - timedelta(hours=hours)
    said = set_label(ticket, Category.objects.get(slug=slug), source=source, by=make_or_get("rita"), now=moment)
    return said.label


def make_or_get(name: str) -> User:
    return User.objects.filter(username=name).first() or make_user(name)


# --- Figures --------------------------------------------------------------------------------------
def test_figures_hold_against_numbers_by_hand(at):
    make_tested(status="production")

    shown = at.get("/quality").context

    # F1: billing 2x2/(3+2) = 0.8, shipping 2x1/(2+2) = 0.5, technical 2x1/(1+2) = 0.667; their mean is 0.656.
    assert shown["macro_f1"] == "0.656"
    figures = {figure.title: (figure.value, figure.more) for figure in shown["figures"]}
    assert figures["Accuracy"][0] == "66.7 %"
    assert figures["Mistakes"] == ("2", "of 6 test tickets")
    assert figures["Weakest F1"] == ("0.500", "Shipping")
    rows = {row["slug"]: [cell["value"] for cell in row["cells"]] for row in shown["rows"]}
    assert rows["billing"][:4] == ["1.000", "0.667", "0.800", "3"]
    assert rows["shipping"][:4] == ["0.500", "0.500", "0.500", "2"]


def test_headline_says_interval_tickets_and_since_when(at):
    version = make_tested(status="production", number=4)
    Promotion.objects.create(version=version, reason="Onwards.")

    page = at.get("/quality")

    interval = version.metrics["test"]["intervals"]["macro_f1"]
    assert f"between {interval['low']:.3f} and {interval['high']:.3f}" in page.text
    assert "macro-F1 of version 4 on 6 test tickets" in page.text
    assert f"It answers since {timezone.now():%Y-%m-%d}" in page.text


def test_calibration_is_told_in_words(at):
    make_tested([("billing", "billing", 0.8)] * 5 + [("billing", "shipping", 0.8)] * 5, status="production")

    shown = at.get("/quality").context

    # Ten answers of 0.8, half of them right: 30 points apart, and surer by them.
    assert "lie 30.0 points apart" in shown["calibration"]
    assert "30.0 points surer than it should be" in shown["calibration"]
    assert shown["charts"][0].series[0].texts[11] == "50.0 % of 10 answers right, 80.0 % confident"


def test_precision_against_coverage_takes_the_first_point_that_reaches_the_share(at):
    make_tested([("billing", "billing", 0.9), ("billing", "billing", 0.8), ("billing", "shipping", 0.7),
                 ("billing", "billing", 0.6)], status="production")  # fmt: skip

    line = at.get("/quality").context["charts"][1].series[0]

    assert line.values[4] == 1.0  # 25 %: the surest
    assert line.texts[9] == "100.0 % right, from a confidence of 0.80 on"  # 50 %
    assert line.values[14] == pytest.approx(2 / 3)  # 75 %
    assert line.values[-1] == 0.75


# --- Which version --------------------------------------------------------------------------------
def test_version_in_production_is_shown_else_the_newest(at):
    make_tested(number=1)
    make_tested(number=2)
    assert at.get("/quality").context["version"].number == 2

    make_tested(number=3, status="production")
    make_tested(number=4)
    assert at.get("/quality").context["version"].number == 3
    assert at.get("/quality?version=2").context["version"].number == 2


def test_production_is_found_behind_a_hundred_newer_versions(at, monkeypatch):
    monkeypatch.setattr("mlops.dashboards.versions.MOST_OFFERED", 2)
    make_tested(number=1, status="production")
    for number in (2, 3, 4):
        make_version(number=number)

    page = at.get("/quality")

    assert page.context["version"].number == 1
    assert '<option value="1" selected>1, in production</option>' in page.text


def test_sample_versions_are_shown_alone_and_only_when_asked_for(at):
    make_tested(number=1)
    make_tested(number=1_000_001, is_demo=True, status="archived")

    assert at.get("/quality").context["version"].number == 1
    assert at.get("/quality?version=1000001").context["version"].number == 1
    page = at.get("/quality?demo=1")
    assert page.context["version"].number == 1_000_001
    assert "Sample data" in page.text
    assert "History of promotions" not in page.text


@pytest.mark.parametrize("path", ["/quality", "/quality/tickets"])
@pytest.mark.parametrize(
    "query",
    ["version=x", "version=%00", "version=" + "9" * 60, "version=-1", "version=99", "against=%00x", "against=99",
     "page=x", "page=-1", "page=" + "9" * 60, "demo=maybe", "truth=%00&guess=nothing", "truth=" + "a" * 5000,
     "version=²", "guess=<script>"],
)  # fmt: skip
def test_odd_query_is_no_failure(at, path, query):
    make_tested(number=1)

    assert at.get(f"{path}?{query}").status_code == 200


def test_unknown_version_is_told_and_what_is_shown_instead(at):
    make_tested(number=1)

    page = at.get("/quality?version=7&against=1")

    assert "The version must be the number of a version; the address says “7”. Shown is version 1." in page.text
    assert "A version can be compared with another one only." in page.text


# --- Compared -------------------------------------------------------------------------------------
def test_better_version_is_told_by_how_much_and_that_chance_would_not_do_it(at):
    truth = ["billing", "shipping"] * 40
    tickets = make_tested_tickets(truth)
    make_tested([(true, true, 0.9) for true in truth], tickets=tickets, number=2)
    wrong = [(true, "billing" if place < 40 else true, 0.9) for place, true in enumerate(truth)]
    make_tested(wrong, tickets=tickets, number=1)

    shown = at.get("/quality?version=2&against=1").context
    turned = at.get("/quality?version=1&against=2").context

    # Billing 2x40/(40+60) = 0.8, shipping 2x20/(40+20) = 0.667: their mean is 0.733, and 1 - 0.733 = 0.267.
    assert shown["comparison"].verdict == "Version 2 is better than version 1 by 0.267, more than chance would make it"
    assert shown["comparison"].n_common == 80
    assert turned["comparison"].verdict.startswith("Version 1 is worse than version 2 by 0.267")
    row = next(row for row in shown["rows"] if row["slug"] == "shipping")
    assert row["cells"][1]["other"] == "+0.500, better than 0.500"
    assert row["cells"][3]["other"] == ""


def test_small_difference_may_be_chance(at):
    tickets = make_tested_tickets([true for true, _, _ in SIX])
    make_tested(SIX, tickets=tickets, number=1)
    make_tested([*SIX[:4], ("shipping", "shipping", 0.99), SIX[5]], tickets=tickets, number=2)

    verdict = at.get("/quality?version=2&against=1").context["comparison"].verdict

    assert verdict.startswith("Version 2 looks better than version 1 by")
    assert verdict.endswith("which may be chance")


def test_only_common_tickets_are_compared(at):
    tickets = make_tested_tickets(["billing"] * 4)
    make_tested([("billing", "billing", 0.9)] * 3, tickets=tickets[:3], number=1)
    make_tested([("billing", "billing", 0.9)] * 3, tickets=tickets[1:], number=2)

    comparison = at.get("/quality?version=2&against=1").context["comparison"]

    assert comparison.n_common == 2
    assert comparison.verdict == "Version 2 and version 1 are equally good"


def test_without_kept_answers_scores_alone_are_compared_and_it_is_said(at):
    make_tested(number=1, test_answers={})
    make_tested(number=2)

    words = at.get("/quality?version=2&against=1").context["comparison"].words

    assert words.startswith(
        "What version 1 said of each test ticket was not kept. Their scores are 0.656 against 0.656"
    )


# --- The matrix and its tickets -------------------------------------------------------------------
def test_cells_sum_to_the_matrix_and_each_leads_to_its_tickets(at):
    version = make_tested(status="production")

    found = cells(at.get("/quality"))

    assert sum(found.values()) == 6
    assert len(found) == 5
    for address, count in found.items():
        shown = at.get(address).context
        assert shown["n_tickets"] == len(shown["answers"]) == count
    shown = at.get(f"/quality/tickets?version={version.number}&truth=billing&guess=billing").context
    assert [row.text for row in shown["answers"]] == ["Test ticket 0 about billing", "Test ticket 1 about billing"]
    assert [row.confidence for row in shown["answers"]] == ["90.0 %", "80.0 %"]


def test_cells_of_made_up_answers_are_no_links(at):
    version = make_tested(is_demo=True, number=1_000_001, status="archived")
    version.test_answers["ticket_ids"] = [None] * 6
    version.save()

    page = at.get("/quality?demo=1")

    assert cells(page) == {}
    assert '<span title="2 tickets of Billing answered rightly">2</span>' in page.text
    assert page.context["how_to_keep"] == ""
    assert page.context["surest"][0].text == "A made-up answer, about no ticket."


def test_tickets_come_fifty_a_page(at):
    make_tested([("billing", "billing", 0.9)] * 53, status="production")

    first = at.get("/quality/tickets?truth=billing&guess=billing")
    second = at.get(f"/quality/tickets{first.context['older_address']}")

    assert (len(first.context["answers"]), len(second.context["answers"])) == (50, 3)
    assert second.context["newer"] == "1"


def test_deleted_ticket_is_told_and_cannot_be_labelled(at):
    version = make_tested(status="production")
    Ticket.objects.get(pk=version.test_answers["ticket_ids"][2]).delete()

    page = at.get("/quality/tickets?truth=billing&guess=shipping")

    assert "This ticket was deleted since." in page.text
    assert "The label is right" not in page.text


def test_link_into_the_admin_is_for_staff(at, client):
    version = make_tested(status="production")
    link = reverse("admin:classifier_ticket_change", args=[version.test_answers["ticket_ids"][2]])
    address = "/quality/tickets?truth=billing&guess=shipping"
    assert link in at.get(address).text

    eve = make_user("eve", is_superuser=True)
    eve.is_staff = False
    eve.save()
    client.force_login(eve)
    assert link not in client.get(address).text


# --- Mistakes -------------------------------------------------------------------------------------
def test_surest_mistakes_come_first(at):
    make_tested(status="production")

    surest = at.get("/quality").context["surest"]

    assert [(row.truth, row.guess, row.confidence) for row in surest] == [
        ("Shipping", "Technical", "99.0 %"),
        ("Billing", "Shipping", "70.0 %"),
    ]


def test_places_break_ties_by_the_order_of_the_tickets():
    tested = Columns([7, 8, 9], ["a", "a", "a"], ["b", "b", "a"], [0.5, 0.5, 0.9])

    assert tested.mistakes() == [0, 1]
    assert tested.places(truth="a") == [2, 0, 1]


def test_corrected_answers_are_those_that_a_person_labelled_otherwise_afterwards(at):
    version, now = make_tested(status="production"), timezone.now()
    early = now - timedelta(hours=5)
    tickets = [make_ticket(f"Asked {n}") for n in range(6)]
    for ticket, confidence in zip(tickets, (0.6, 0.9, 0.8, 0.7, 0.7, 0.7), strict=True):
        make_answer(version, "billing", at=early, ticket=ticket, confidence=confidence)
    correct(tickets[0], "shipping")
    correct(tickets[1], "shipping", source="agent")
    correct(tickets[2], "billing")  # it was right
    correct(tickets[3], "shipping", hours=6)  # before the answer
    correct(tickets[4], "shipping", source="api")  # no person
    other = make_version(number=9)
    make_answer(other, "billing", at=early, ticket=tickets[0], confidence=0.99)

    corrected = at.get("/quality").context["corrected"]

    assert [(row.text, row.truth, row.guess) for row in corrected] == [
        ("Asked 1", "Shipping", "Billing"),
        ("Asked 0", "Shipping", "Billing"),
    ]
    assert corrected[1].labelled.startswith("Labelled by rita")


def test_corrections_are_looked_for_in_the_last_days_only(at):
    version = make_tested(status="production")
    days = mistakes.DAYS + 1
    ticket = make_ticket()
    make_answer(version, "billing", at=timezone.now() - timedelta(days=days, hours=1), ticket=ticket)
    correct(ticket, "shipping", hours=24 * days)

    assert at.get("/quality").context["corrected"] == []


# --- Empty states, who may, cost ------------------------------------------------------------------
def test_empty_database_says_what_to_do_next(at):
    page = at.get("/quality")

    assert page.status_code == 200
    assert "No version yet" in page.text
    assert "manage.py train" in page.text
    assert "No version was ever promoted" in page.text
    assert "There is no version yet" in at.get("/quality/tickets").text
    assert "No sample version" in at.get("/quality?demo=1").text


def test_version_without_scores_says_so(at):
    make_version(number=3, status="production")
    make_tested(number=4)

    page = at.get("/quality")

    assert "Version 3 was not scored" in page.text
    assert (
        "Version 3 was not scored, so there is nothing to compare with" in at.get("/quality?version=4&against=3").text
    )


def test_version_without_mistakes_says_so(at):
    make_tested([("billing", "billing", 0.9)], status="production")

    page = at.get("/quality")

    assert "It answered every test ticket rightly." in page.text
    assert "Nobody has corrected one of its answers" in page.text
    assert "No ticket was answered wrongly." in page.text


def test_older_version_says_how_its_answers_are_kept(at):
    make_tested(status="production", number=5, test_answers={})

    page = at.get("/quality")

    assert "manage.py evaluate --version 5 --split test" in page.text
    assert "Keep them now" in page.text
    assert cells(page) == {}


def test_page_wants_a_person_who_may_read(client):
    assert client.get("/quality").status_code == 302

    client.force_login(make_user("eve"))
    assert client.get("/quality").status_code == 403
    assert client.get("/quality/tickets").status_code == 403


def test_large_matrix_is_whole_and_costs_no_more_queries(at, django_assert_num_queries):
    slugs = [f"kind-{n:02}" for n in range(77)]
    make_categories(slugs)
    answers = [(slug, slugs[(n * 7 + turn) % 77] if turn == 3 else slug, 0.5 + turn / 10)
               for n, slug in enumerate(slugs) for turn in range(5)]  # fmt: skip
    tickets = make_tested_tickets([true for true, _, _ in answers])
    make_tested(answers, tickets=tickets, slugs=slugs, number=1)
    make_tested(answers, tickets=tickets, slugs=slugs, number=2, status="production")
    Promotion.objects.create(version=ModelVersion.objects.get(number=2), reason="Onwards.")
    at.get("/quality")

    with django_assert_num_queries(11):
        page = at.get("/quality?version=2&against=1")

    matrix = page.context["matrix"]
    assert (len(matrix["heads"]), len(matrix["rows"]), matrix["is_large"]) == (77, 77, True)
    assert sum(cells(page).values()) == 385
    # Each row: its name, 77 cells, and the sum.
    assert page.text.split('<table class="matrix')[1].split("</table>")[0].count("<td") == 77 * 78
    assert page.text.count('<option value="kind-') == 77


def test_tickets_of_a_cell_cost_so_many_queries(at, django_assert_num_queries):
    make_tested([("billing", "billing", 0.9)] * 60, status="production")
    at.get("/quality/tickets")

    with django_assert_num_queries(7):
        at.get("/quality/tickets?truth=billing")
