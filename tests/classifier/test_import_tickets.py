"""A file's worth of labels: what an import takes, refuses and keeps, and how its command tells of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from classifier import importing
from classifier.labelling import ImportReport, import_tickets, set_label
from classifier.management.base import BadUsage, Refused, TicketclfCommand
from classifier.management.commands.import_tickets import Command
from classifier.models import Category, Label, Ticket, TicketBand
from classifier.placing import unseen
from classifier.reading import Fault, FileRow
from tests.factories import make_categories, make_ticket, make_user, shipped

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def rows(*values: tuple[Any, ...]) -> list[FileRow]:
    """Rows of (text, label) or (text, label, external id), from line 2 on."""
    return [
        FileRow(number, text, label, external_id=rest[0] if rest else None)
        for number, (text, label, *rest) in enumerate(values, 2)
    ]


def run(*values: tuple[Any, ...], **options: Any) -> ImportReport:
    return import_tickets(rows(*values), **{"seed": 0, "now": NOW, **options})


def codes(report: ImportReport) -> list[tuple[int, str]]:
    return [(refusal.number, refusal.code) for refusal in report.refusals]


def labels() -> list[tuple[str, str]]:
    return list(Label.objects.current().order_by("pk").values_list("ticket__text", "category__slug"))


@pytest.fixture(autouse=True)
def categories(db: None) -> dict[str, Category]:
    return {category.slug: category for category in make_categories()}


# --- What is written ------------------------------------------------------------------------------
def test_import_writes_ticket_label_and_place() -> None:
    ada = make_user()

    report = run(("Where is it?", "shipping", "A1"), by=ada)

    ticket = Ticket.objects.get()
    assert (ticket.text, ticket.external_id, ticket.source, ticket.created_at) == ("Where is it?", "A1", "import", NOW)
    assert (ticket.text_digest, ticket.split, ticket.group) == (Ticket.digest("where is it?"), "train", ticket.pk)
    label = Label.objects.get()
    assert (label.ticket, label.category.slug, label.source, label.by) == (ticket, "shipping", "import", ada)
    assert TicketBand.objects.filter(ticket=ticket).count() == 16
    assert (report.n_rows, report.n_new, report.n_refused, report.kept) == (1, 1, 0, True)
    assert (report.per_category, report.per_split) == ({"shipping": 1}, {"train": 1})


def test_import_of_the_same_rows_again_changes_nothing() -> None:
    given = [("Where is it?", "shipping"), ("Refund", "billing", "B1"), ("Hello", "general")]
    run(*given)

    again = run(*given)

    assert (again.n_new, again.n_unchanged, again.n_labelled) == (0, 3, 0)
    assert (Ticket.objects.count(), Label.objects.count(), TicketBand.objects.count()) == (3, 3, 48)


def test_import_takes_the_same_text_twice_in_a_file_as_one_ticket() -> None:
    report = run(("Where is it?", "shipping"), (" where IS\u200b it? ", "Shipping"))

    assert (report.n_new, report.n_unchanged) == (1, 1)


def test_import_matches_labels_by_slug_or_name_stripped_and_casefolded(categories: dict[str, Category]) -> None:
    Category.objects.filter(slug="billing").update(name="Rechnung & Straße")

    run(("a text", " SHIPPING\t"), ("another", "rechnung & STRASSE"))

    assert labels() == [("a text", "shipping"), ("another", "billing")]


def test_import_labels_the_unlabelled_ticket_that_has_the_text() -> None:
    make_ticket("Where is it?")
    make_ticket("where is it?")
    demo = make_ticket("Refund", is_demo=True)

    report = run(("Where  is it?", "shipping"), ("Refund", "billing"))

    assert (report.n_labelled, report.n_new) == (1, 1)
    assert labels() == [("Refund", "billing"), ("Where is it?", "shipping")]
    assert not demo.labels.exists()


def test_import_confirms_a_label_of_the_api(categories: dict[str, Category]) -> None:
    ticket = make_ticket("Where is it?")
    set_label(ticket, categories["shipping"], source="api", now=NOW)

    report = run(("Where is it?", "shipping"))
    again = run(("Where is it?", "shipping"))

    assert (report.n_labelled, again.n_unchanged) == (1, 1)
    assert list(Label.objects.order_by("pk").values_list("source", "ended_at")) == [("api", NOW), ("import", None)]
    assert TicketBand.objects.count() == 16


def test_import_corrects_a_label_of_the_api(categories: dict[str, Category]) -> None:
    set_label(make_ticket("Where is it?"), categories["billing"], source="api", now=NOW)

    report = run(("Where is it?", "shipping"), ("where is it?", "shipping"), ("WHERE is it?", "general"), skip_bad=True)

    assert (report.n_labelled, report.n_unchanged, codes(report)) == (1, 1, [(4, "conflict")])
    assert list(Label.objects.order_by("pk").values_list("category__slug", "source", "ended_at")) == [
        ("billing", "api", NOW),
        ("shipping", "import", None),
    ]


def test_import_goes_by_the_firm_label_where_two_tickets_have_the_text(categories: dict[str, Category]) -> None:
    set_label(make_ticket("Where is it?"), categories["billing"], source="api", now=NOW)
    set_label(make_ticket("where is it?"), categories["shipping"], source="agent", now=NOW)

    report = run(("Where is it?", "shipping"), ("where is IT?", "billing"), skip_bad=True)

    assert (report.n_unchanged, report.n_labelled, codes(report)) == (1, 0, [(3, "conflict")])


def test_import_does_not_end_what_a_person_said_meanwhile(categories: dict[str, Category]) -> None:
    ticket = make_ticket("Where is it?")
    set_label(ticket, categories["billing"], source="api", now=NOW)
    _, entries, _ = importing.collect(rows(("Where is it?", "shipping")))
    plan = importing.decide(entries, create_categories=False)
    set_label(ticket, categories["general"], source="reviewer", now=NOW)

    with pytest.raises(IntegrityError), transaction.atomic():  # import_tickets decides anew then
        importing.write(plan, signatures={}, by=None, now=NOW, seed=0, progress=unseen)
    report = run(("Where is it?", "shipping"))

    assert codes(report) == [(2, "conflict")]
    assert Label.objects.current().get().source == "reviewer"


def test_import_puts_near_duplicates_into_one_split_and_joins_those_that_stand(categories: dict[str, Category]) -> None:
    standing = make_ticket("Please cancel my order 12345 today")
    set_label(standing, categories["billing"], source="agent", now=NOW)
    Ticket.objects.filter(pk=standing.pk).update(split="test")

    report = run(
        ("please cancel my order 99817 today", "billing"),
        ("Where is my parcel 11111?", "shipping"),
        ("Please cancel my order 55555 today!", "billing"),
        ("Where is my parcel 22222?", "shipping"),
    )

    assert report.per_split == {"train": 2, "test": 2}
    found = dict(Ticket.objects.values_list("text", "group"))
    assert found["Where is my parcel 11111?"] == found["Where is my parcel 22222?"]
    assert found["Please cancel my order 55555 today!"] == found["please cancel my order 99817 today"] == standing.pk


def test_import_of_shipped_like_rows_keeps_the_shares_of_each_category() -> None:
    words = "amber birch cedar dune ember fjord grove heath islet jetty knoll larch marsh nook orchid pine quay ridge"
    texts = [f"{one} {other}" for one in words.split() for other in reversed(words.split()) if one < other][:100]

    report = run(*((text, "billing") for text in texts))

    assert report.per_split == {"train": 70, "validation": 15, "test": 15}


# --- External ids ---------------------------------------------------------------------------------
def test_import_takes_two_external_ids_with_one_text_as_two_tickets() -> None:
    given = [("Hello", "general", "1"), ("Hello", "general", "2"), ("Hello", "general")]

    report, again = run(*given), run(*given)

    assert (report.n_new, report.n_unchanged) == (2, 1)
    assert (again.n_new, again.n_unchanged) == (0, 3)
    assert Ticket.objects.values("group").distinct().count() == 1


def test_import_labels_the_ticket_with_the_external_id() -> None:
    make_ticket("Hello")
    asked = make_ticket("Hello", external_id="7")

    report = run(("Hello", "general", "7"), ("hello", "general", "7"), ("Hello", "general"))

    assert (report.n_new, report.n_labelled, report.n_unchanged) == (0, 1, 2)
    assert Label.objects.get().ticket == asked


def test_import_refuses_an_external_id_with_another_text() -> None:
    make_ticket("Hello", external_id="7")
    make_ticket("Bye", external_id="8", is_demo=True)

    report = run(("Goodbye", "general", "7"), ("Bye", "general", "8"), ("One", "general", "9"), ("Two", "general", "9"))

    assert codes(report) == [(2, "external_id_taken"), (3, "external_id_taken"), (5, "external_id_taken")]
    assert not Label.objects.exists()


# --- Refusals -------------------------------------------------------------------------------------
def test_import_refuses_bad_rows_with_line_and_mend(categories: dict[str, Category]) -> None:
    Category.objects.filter(slug="account").update(active=False)
    bad = FileRow(9, None, None, fault=Fault("malformed_csv", "has quotation marks out of place. Mend them."))

    report = import_tickets(
        [
            *rows(
                ("\u200b ", "billing"),
                (None, "billing"),
                ("a text", "  "),
                ("a text", None),
                ("a text", "shiping"),
                ("a text", "weather"),
                ("a text", "account"),
            ),
            bad,
        ],
        seed=0,
        now=NOW,
    )

    assert [str(refusal) for refusal in report.refusals] == [
        "Line 2 has no text. Fill it in or delete the row.",
        "Line 3 has no text. Fill it in or delete the row.",
        "Line 4 has no label. Label the ticket or delete the row.",
        "Line 5 has no label. Label the ticket or delete the row.",
        "Line 6 has the label 'shiping', which no category has. Did you mean 'shipping'? Correct it, or make the "
        "category (--create-categories).",
        "Line 7 has the label 'weather', which no category has. Correct it, or make the category "
        "(--create-categories).",
        "Line 8 has the label 'account', a retired category. Correct the label, or activate the category in the admin.",
        "Line 9 has quotation marks out of place. Mend them.",
    ]
    assert report.n_refused_by_code == {
        "category_retired": 1,
        "empty_text": 2,
        "malformed_csv": 1,
        "missing_label": 2,
        "unknown_label": 2,
    }


def test_import_reports_the_same_text_with_another_label_as_a_conflict(categories: dict[str, Category]) -> None:
    set_label(make_ticket("Refund"), categories["billing"], source="agent", now=NOW)

    report = run(("refund", "general"), ("Hello", "general"), ("hello", "technical"), ("REFUND", "general", "X"))

    assert codes(report) == [(2, "conflict"), (4, "conflict"), (5, "conflict")]
    assert [refusal.message.split(". ")[0] for refusal in report.refusals[:2]] == [
        "has the text of a ticket in the database, whose label is 'billing' and not 'general'",
        "has the text of line 3, whose label is 'general' and not 'technical'",
    ]
    assert labels() == [("Refund", "billing")]


def test_import_keeps_nothing_if_one_row_is_bad_and_not_skipped() -> None:
    report = run(("Hello", "weather"), ("Refund", "billing"), ("New", "general"))

    assert (report.accepted, report.kept, report.n_new, report.n_refused) == (False, False, 2, 1)
    assert not Ticket.objects.exists()


def test_import_keeps_the_good_rows_if_bad_ones_are_skipped() -> None:
    report = run(("Hello", "weather"), ("", "billing"), ("Refund", "billing"), skip_bad=True)

    assert (report.kept, report.n_new, codes(report)) == (True, 1, [(2, "unknown_label"), (3, "empty_text")])
    assert labels() == [("Refund", "billing")]


def test_import_of_bad_rows_only_is_not_accepted_even_if_they_are_skipped() -> None:
    assert not run(("Hello", "weather"), skip_bad=True).accepted


def test_import_names_the_first_hundred_refusals_and_counts_all() -> None:
    report = run(*[("", "billing"), ("a text", "weather")] * 120)

    assert report.n_refused_by_code == {"empty_text": 120, "unknown_label": 120}
    assert [refusal.number for refusal in report.refusals] == list(range(2, 102))


def test_import_tried_dry_keeps_nothing_and_tells_all() -> None:
    report = run(("Hello", "general"), ("Rain", "weather"), dry_run=True, create_categories=True)

    assert (report.accepted, report.kept, report.n_new, report.per_split) == (True, False, 2, {"train": 2})
    assert report.as_dict()["categories_created"] == ["weather"]
    assert not Ticket.objects.exists()
    assert not Category.objects.filter(slug="weather").exists()


def test_import_tried_dry_foretells_what_an_import_does_and_writes_no_ticket() -> None:
    run(("My card has not arrived yet, where is it now", "general"), ("a is gone", "billing"))
    rows = [(text, "weather") for text, _ in shipped()[:40]]
    rows += [("My card has not arrived yet, where is it now?!", "general"), ("a is gone", "billing")]
    rows += [("A plain ticket about the rain", "weather"), ("A plain ticket about the rain", "billing")]

    with CaptureQueriesContext(connection) as queries:
        foretold = run(*rows, dry_run=True, create_categories=True, skip_bad=True)
    done = run(*rows, create_categories=True, skip_bad=True)

    written = {query["sql"].split('"')[1] for query in queries if query["sql"].startswith(("INSERT", "UPDATE"))}
    assert written == {"classifier_category"}
    assert (foretold.kept, done.kept) == (False, True)
    assert replace(foretold, dry_run=False) == done
    assert len(done.per_split) == 3


# --- Categories -----------------------------------------------------------------------------------
def test_import_reports_a_conflict_with_a_label_whose_category_it_makes() -> None:
    report = run(("Rain", "weather"), ("Rain", "billing"), create_categories=True)

    assert codes(report) == [(3, "conflict")]
    assert "whose label is 'weather' and not 'billing'" in report.refusals[0].message


def test_import_creates_a_category_for_each_unknown_label() -> None:
    report = run(("a text", "Card_arrival"), ("b text", "card_ARRIVAL"), ("c text", "über uns"), create_categories=True)

    assert report.categories_created == ("card_arrival", "über-uns")
    assert list(Category.objects.filter(slug="card_arrival").values_list("name", "active")) == [("Card_arrival", True)]
    assert report.notes == ()


def test_import_takes_labels_that_differ_by_hyphen_and_underscore_for_one() -> None:
    given = [("a text", "card_arrival"), ("b text", "Card arrival"), ("c text", "why?"), ("d text", "Why")]

    report = run(*given, create_categories=True)
    again = run(*given, create_categories=True)

    assert report.categories_created == ("card_arrival", "why")
    assert report.notes == (
        "Label 'Card arrival' was taken for the category 'card_arrival'.",
        "Label 'Why' was taken for the category 'why'.",
    )
    assert (again.n_unchanged, again.categories_created) == (4, ())


@pytest.mark.parametrize("label", ["!!!", "x" * 101, "?" * 100 + "x"])
def test_import_refuses_labels_of_which_no_category_can_be_made(label: str) -> None:
    report = run(("a text", label), create_categories=True)

    assert codes(report) == [(2, "unusable_label")]


# --- Others at the same time ----------------------------------------------------------------------
def test_import_tries_again_when_another_was_faster() -> None:
    met = []

    def rival(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "classifier_label"') and not met:
            met.append(sql)
            raise IntegrityError("label_one_current_per_ticket")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(rival):
        report = run(("Hello", "general"))

    assert (len(met), report.n_new, Ticket.objects.count()) == (1, 1, 1)


def test_import_compares_a_text_whose_label_went_meanwhile(categories: dict[str, Category]) -> None:
    ticket = make_ticket("Hello")
    label = set_label(ticket, categories["general"], source="agent", now=NOW).label
    begun = []

    def rival(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('SELECT "classifier_category"."id"') and not begun:  # this is how a turn is waited for
            begun.append(sql)
            label.delete()
            TicketBand.objects.all().delete()
            Ticket.objects.filter(pk=ticket.pk).update(split=None, group=None)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(rival):
        report = run(("Hello", "general"))

    assert (report.n_labelled, TicketBand.objects.count()) == (1, 16)


def test_import_asks_the_database_as_often_for_many_rows_as_for_few() -> None:
    few = [(f"{number} " * 3, "general") for number in "abcdefgh"]
    many = [(f"{one}{other} is {other}{one}{one}", "billing") for one in "abcdefghij" for other in "klmnopqrst"]

    with CaptureQueriesContext(
        connection,
    ) as of_few:
        run(*few)
    with CaptureQueriesContext(connection) as of_many:
        run(*many)

    assert len(of_many) <= len(of_few) + 10


# --- The command ----------------------------------------------------------------------------------
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Runs the command as from a shell: exit code, standard output, standard error."""
    monkeypatch.setattr(connections, "close_all", lambda: None)  # it would end the test's transaction

    def start(
        *arguments: str, command: type[TicketclfCommand] = Command, file: str | None = None
    ) -> tuple[int, str, str]:
        if file is not None:
            (tmp_path / "tickets.csv").write_text(file, encoding="utf-8")
            arguments = (str(tmp_path / "tickets.csv"), *arguments)
        out, err = io.StringIO(), io.StringIO()
        try:
            command(stdout=out, stderr=err).run_from_argv(["manage.py", "a_command", *arguments])
        except SystemExit as error:
            return int(str(error.code)), out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    return start


def test_command_tells_what_it_did(call: Call) -> None:
    code, out, err = call(
        "--create-categories", file="text,label\nHello,general\nRain,weather\nSnow,weather\nWind,Weather!\n"
    )

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Rows                    4",
        "New tickets             4",
        "Newly labelled          0",
        "Unchanged               0",
        "Refused                 0",
        "",
        "Category",
        "  general                         1",
        "  weather                         3",
        "",
        "Split",
        "  train                           3",
        "  validation                      1",
        "",
        "Categories made: weather",
        "",
        "Label 'Weather!' was taken for the category 'weather'.",
        "",
        "Kept.",
    ]


def test_command_names_the_first_ten_categories_that_it_made(call: Call) -> None:
    made = "".join(f"text {letter},label {letter}\n" for letter in "abcdefghijkl")

    out = call("--create-categories", file="text,label\n" + made)[1]

    assert "label-i, label-j and 2 more" in out


def test_command_prints_one_json_object(call: Call) -> None:
    code, out, err = call("--json", "--dry-run", file="text,label\nHello,general\n")

    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["kept"] is False
    assert found["n_new"] == 1
    assert not Ticket.objects.exists()


def test_command_tells_a_dry_run(call: Call) -> None:
    assert call("--dry-run", file="text,label\nHello,general\n")[1].endswith(
        "\nNothing was kept: this was a dry run.\n"
    )


def test_command_ends_with_1_if_rows_were_refused(call: Call) -> None:
    code, out, err = call(file="text,label\n" + "Rain,weather\n" * 12)

    assert code == 1
    assert err == (
        "Error: All rows must be good; 12 rows were refused, so nothing was kept. Mend them, or keep the others with "
        "--skip-bad.\n"
    )
    assert "  unknown_label                  12" in out.splitlines()
    assert "Line 11 has the label 'weather'" in out
    assert "and 2 more (--json names the first hundred)." in out
    assert "Kept" not in out


def test_command_that_refuses_still_prints_one_json_object(call: Call) -> None:
    code, out, err = call("--json", file="text,label\nRain,weather\n")

    assert code == 1
    assert json.loads(out)["refusals"][0]["code"] == "unknown_label"
    assert err.count("\n") == 1


def test_command_skips_bad_rows(call: Call) -> None:
    code, out, _ = call("--skip-bad", file="text,label\nRain,weather\nHello,general\n")

    assert code == 0
    assert out.endswith("\nKept.\n")
    assert Ticket.objects.count() == 1
    assert call("--skip-bad", file="text,label\nRain,weather\n")[2].endswith("nothing was kept. Mend them.\n")


def test_command_reads_other_columns(call: Call) -> None:
    call(
        "--text-column", "body", "--label-column", "topic", "--external-id-column", "nr",
        file="nr;body;topic\n7;Hello;general\n",
    )  # fmt: skip

    assert list(Ticket.objects.values_list("text", "external_id")) == [("Hello", "7")]


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_command_ends_with_2_if_the_file_cannot_be_read(call: Call, json_option: list[str]) -> None:
    code, out, err = call("nowhere.csv", *json_option)

    message = "nowhere.csv must be a file that can be read; there is none. Check the path."
    assert (code, err) == (2, f"Error: {message}\n")
    assert not out if not json_option else json.loads(out) == {"error": message, "exit_code": 2}


def test_command_ends_with_2_for_an_unknown_option(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("tickets.csv", "--nonsense")[0] == 2
    assert "unrecognized arguments: --nonsense" in capsys.readouterr().err


# --- What every command shares --------------------------------------------------------------------
class Trial(TicketclfCommand):
    """Raises what it is told to."""

    trouble: BaseException = Refused("No.")

    def handle(self, **_options: Any) -> None:
        raise self.trouble


class Quiet(TicketclfCommand):
    has_json = False

    def handle(self, **_options: Any) -> None:
        self.say("one", "two")
        self.print_json({"never": "seen"})


@pytest.mark.parametrize(
    ("trouble", "code", "message"),
    [
        (Refused("No."), 1, "No."),
        (BadUsage("Not so."), 2, "Not so."),
        (KeyboardInterrupt(), 130, "Stopped."),
        (OperationalError(), 2, "it says: no reason given."),
        (OperationalError("no such table: x\nLINE 1"), 2, "it says: no such table: x. Check DATABASE_URL, then run"),
    ],
)
def test_trouble_is_one_line_and_an_exit_code(
    call: Call, monkeypatch: pytest.MonkeyPatch, trouble: BaseException, code: int, message: str
) -> None:
    monkeypatch.setattr(Trial, "trouble", trouble)

    found, out, err = call(command=Trial)

    assert (found, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_trouble_with_the_database_shows_its_place_when_asked_to(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trial, "trouble", OperationalError("no such table"))

    with pytest.raises(OperationalError):
        call("--traceback", command=Trial)


def test_trouble_reaches_a_caller_in_python_as_it_is() -> None:
    with pytest.raises(Refused, match="No"):
        call_command(Trial())


def test_command_without_json_knows_no_such_option(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", command=Quiet)[0] == 2
    assert call(command=Quiet)[1] == "one\ntwo\n"


def test_progress_shows_a_bar_on_a_terminal_and_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def walk(items: Iterable[int]) -> list[int]:
        return list(Trial().progress(items, total=3, text="Walking"))

    assert walk(range(3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert walk(range(3)) == [0, 1, 2]
    assert "Walking: 100%" in capsys.readouterr().err
