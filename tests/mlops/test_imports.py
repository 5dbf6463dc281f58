"""Imports by hand: what an upload is refused for, who may start it, and that it is done once, whole or not at all."""

from __future__ import annotations

import csv
import io
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, IntegrityError, connection, transaction

from classifier.models import Category, Label, Ticket
from mlops import imports, purging, tasks
from mlops.imports import (
    ImportInProgress,
    NothingToDo,
    NotPossible,
    Options,
    UnusableFile,
    looking,
    telling,
    uploading,
    working,
)
from mlops.models import FILES_KEPT, LEASE, ImportJob
from tests.factories import make_categories, make_user, shipped
from tests.mlops.making import NOW, noon
from tests.test_bad_data import HEADER, UNREADABLE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
GOOD = HEADER + b"I was charged twice,billing\nThe app crashes at start,technical\n"
MIXED = GOOD + b"Where is my order?,weather\n,billing\n=1+1 is what I paid,\n"
PLAIN = Options()
SKIP = Options(skip_bad=True)


@pytest.fixture(autouse=True)
def _there() -> None:
    make_categories()


@pytest.fixture(autouse=True)
def _no_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread could not write while the test holds the transaction."""
    monkeypatch.setattr(telling, "BEAT_SECONDS", 60)


@pytest.fixture
def ada(db: None) -> Any:
    return make_user("ada")


def send(content: bytes, name: str = "tickets.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def upload(by: Any, content: bytes = GOOD, name: str = "tickets.csv", options: Options = PLAIN) -> ImportJob:
    return imports.upload(send(content, name), by=by, options=options, now=NOW)


def done(by: Any, content: bytes = GOOD, **given: Any) -> ImportJob:
    return imports.work(imports.start(upload(by, content, **given), by=by).pk, clock=noon)


def may(user: Any, *codenames: str) -> Any:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return type(user).objects.get(pk=user.pk)  # permissions are kept with the row that was asked


def csv_of(job: ImportJob) -> list[list[str]]:
    return list(csv.reader(io.StringIO(bytes(job.refused or b"").decode(), newline="")))


# --- Uploaded -------------------------------------------------------------------------------------
def test_upload_tells_what_an_import_would_do_and_writes_no_ticket(ada):
    job = upload(ada, MIXED, options=SKIP)

    assert (job.status, job.n_rows, job.by, job.file_name, bytes(job.content)) == (
        "uploaded", 5, ada, "tickets.csv", MIXED,
    )  # fmt: skip
    report = job.preview["report"]
    assert (report["n_new"], report["n_unchanged"], report["n_labelled"], report["n_refused"]) == (2, 0, 0, 3)
    assert report["n_refused_by_code"] == {"empty_text": 1, "missing_label": 1, "unknown_label": 1}
    assert report["per_category"] == {"billing": 1, "technical": 1}
    assert [row["label"] for row in job.preview["rows"]] == ["billing", "technical", "weather", "billing", ""]
    assert job.refusals[0]["message"].endswith("Correct it, or make the category (tick “Make missing categories”).")
    assert not Ticket.objects.exists()


def test_upload_shows_the_first_rows_alone_and_no_long_text(ada):
    rows = b"".join(b"%d %s,billing\n" % (number, b"word " * 100) for number in range(30))

    job = upload(ada, HEADER + rows)

    assert len(job.preview["rows"]) == imports.SHOWN_ROWS
    assert len(job.preview["rows"][0]["text"]) == looking.SHOWN_CHARACTERS + 1


@pytest.mark.parametrize(
    "name", [name for name, content in UNREADABLE.items() if content and name != "other_columns.csv"]
)
def test_file_that_cannot_be_read_is_refused_in_words_and_not_kept(ada, name):
    try:
        words = imports.work(upload(ada, UNREADABLE[name], name).pk, clock=noon).outcome  # large: a worker finds out
    except UnusableFile as refusal:
        words = str(refusal)

    assert words.startswith(f"{name} must ")
    assert "/" not in words.split(". ")[0], "the path of the server is nobody's business"
    assert not ImportJob.objects.exclude(status="failed").exists()
    assert not Ticket.objects.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04\x14\x00", "it is a spreadsheet or an archive"),
        (b"%PDF-1.7\n", "it is a PDF"),
        (bytes(range(256)), "must be UTF-8"),
        (b"Dear Sir or Madam\nI was charged twice.\n", "that has one column"),
        (b"\n\n\n", "it is empty"),
        (HEADER, "it has none"),
        (b"[1, 2]\n", "must have the column"),
    ],
)
def test_what_is_no_file_of_tickets_is_refused(ada, content, words):
    if b"[1" in content:
        assert words in upload(ada, content).preview["problem"]
        return
    with pytest.raises(UnusableFile, match=words):
        upload(ada, content, "a file.csv")


def test_file_that_is_too_large_is_refused_unread(ada, settings):
    settings.IMPORT_MAX_MEGABYTES = 1

    with pytest.raises(UnusableFile, match=r"big.csv must have at most 1 MB; it has 1.2. Split it, or import it with"):
        upload(ada, b"x" * 1_200_000, "big.csv")


def test_file_with_other_columns_is_kept_and_they_are_chosen_in_the_form(ada):
    job = upload(ada, UNREADABLE["other_columns.csv"], "other.csv")

    assert job.preview["columns"] == ["body", "topic"]
    assert job.preview["problem"].startswith("other.csv must have the column 'text'; it has 'body', 'topic'.")
    assert "“Text column” in the form" in job.preview["problem"]
    with pytest.raises(NotPossible, match="must have the column"):
        imports.start(job, by=ada)

    imports.change(job, Options(text_column="body", label_column=" topic "), by=ada)

    job.refresh_from_db()
    assert (job.preview["problem"], job.preview["report"]["n_new"]) == ("", 1)
    assert imports.start(job, by=ada).status == "queued"


def test_column_that_is_there_twice_is_named(ada):
    assert "it has 2" in upload(ada, b"text,label,text\na,billing,b\n").preview["problem"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(text_column=""), "must be named"),
        (Options(text_column="label"), "two of them name the same one"),
        (Options(external_id_column="text"), "two of them name the same one"),
        (Options(label_column="a\0b"), "printable"),
        (Options(label_column="x" * 101), "at most 100"),
    ],
)
def test_columns_that_cannot_be_are_refused(ada, options, words):
    with pytest.raises(UnusableFile, match=words):
        upload(ada, options=options)


def test_jsonl_is_known_by_its_ending_and_other_separators_by_the_header(ada):
    jsonl = upload(ada, b'{"text": "I was charged twice", "label": "billing", "n": 1}\n', "Tickets.JSONL")
    semicolons = upload(ada, b"label;text\nbilling;I was charged, twice\n")

    assert jsonl.preview["columns"] == ["text", "label", "n"]
    assert semicolons.preview["rows"][0]["text"] == "I was charged, twice"


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\x00b\n.csv", "x" * 250 + ".csv", "‮gnp.csv", ""])
def test_name_of_a_file_is_made_harmless(ada, name):
    job = uploading._clean_name(name)

    assert job
    assert len(job) <= 170
    assert job.isprintable()
    assert "/" not in job


def test_names_of_columns_that_no_database_stores_are_kept_with_a_mark(ada):
    job = upload(ada, b'{"text": "a b", "label": "billing", "\\ud800\\u0000": 1}\n', "x.jsonl")

    assert job.preview["columns"][2] == "?\ufffd"
    job.refresh_from_db()


def test_same_file_sent_twice_is_one_row_with_the_newest_options(ada):
    first = upload(ada, MIXED)
    again = upload(ada, MIXED, options=SKIP)
    other = upload(make_user("bob"), MIXED)

    assert (first.pk, again.preview["report"]["accepted"]) == (again.pk, True)
    assert other.pk != first.pk


def test_only_so_many_files_wait(ada, monkeypatch):
    monkeypatch.setattr(uploading, "MOST_WAITING", 1)
    upload(ada)

    with pytest.raises(UnusableFile, match="At most 1 files wait"):
        upload(ada, MIXED)


def test_too_many_rows_are_refused(ada, monkeypatch):
    monkeypatch.setattr(looking, "MOST_ROWS", 1)

    with pytest.raises(UnusableFile, match=r"tickets.csv must have at most 1 rows"):
        upload(ada)


# --- A large file's preview is work ---------------------------------------------------------------
@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "AT_ONCE", 10)


@pytest.mark.usefixtures("large")
def test_large_file_is_looked_at_by_a_worker(ada):
    job = upload(ada, MIXED, options=SKIP)
    assert (job.status, job.preview, job.n_rows) == ("previewing", {"columns": ["text", "label"]}, 6)
    with pytest.raises(NotPossible, match="is being looked at"):
        imports.start(job, by=ada)

    job = imports.work(job.pk, clock=noon)

    assert (job.status, job.lease_until, job.n_rows, job.preview["report"]["n_new"]) == ("uploaded", None, 5, 2)
    assert imports.start(job, by=ada).status == "queued"


@pytest.mark.usefixtures("large")
def test_large_file_that_turns_out_unreadable_fails_in_words(ada):
    job = imports.work(upload(ada, GOOD + b"p\xe4ckchen,billing\n").pk, clock=noon)

    assert (job.status, job.ended_at) == ("failed", NOW)
    assert job.outcome.startswith("tickets.csv must be UTF-8; line 4 has the byte 0xe4")
    assert job.outcome.endswith("Nothing was imported.")


@pytest.mark.usefixtures("large")
def test_preview_whose_options_were_changed_meanwhile_is_thrown_away(ada, monkeypatch):
    job = upload(ada, MIXED)
    real = working.look

    def look(*arguments: Any, **named: Any) -> Any:
        imports.change(ImportJob.objects.get(), SKIP, by=ada)
        return real(*arguments, **named)

    monkeypatch.setattr(working, "look", look)
    with pytest.raises(working.LostImport):
        imports.work(job.pk, clock=noon)
    monkeypatch.setattr(working, "look", real)

    assert imports.work(job.pk, clock=noon).preview["report"]["accepted"] is True


@pytest.mark.usefixtures("large")
def test_preview_that_is_cancelled_meanwhile_stays_cancelled(ada, monkeypatch):
    job = upload(ada, MIXED)
    real = working.look

    def look(*arguments: Any, **named: Any) -> Any:
        imports.cancel(ImportJob.objects.get(), by=ada, now=NOW)
        return real(*arguments, **named)

    monkeypatch.setattr(working, "look", look)

    tasks.work_on_import(job.pk)

    job.refresh_from_db()
    assert (job.status, job.content) == ("cancelled", None)


# --- Started --------------------------------------------------------------------------------------
def test_import_is_done_and_told(ada):
    job = done(ada, MIXED, options=SKIP)

    assert (job.status, job.started_at, job.ended_at, job.lease_until) == ("succeeded", NOW, NOW, None)
    assert job.outcome == "Kept: 2 new tickets. Refused and left out: 3."
    assert (job.report["n_new"], job.n_done, job.n_rows) == (2, 5, 5)
    assert Ticket.objects.count() == 2
    assert set(Label.objects.values_list("by", "source")) == {(ada.pk, "import")}
    assert list((looking.settings.VAR / "imports").iterdir()) == []


def test_all_refused_rows_can_be_downloaded_with_their_columns_and_no_formula(ada, monkeypatch):
    monkeypatch.setattr(looking, "SHOWN_REFUSALS", 1)
    job = done(
        ada,
        b'id,text,label,=cmd\n1,I was charged,billing,x\n2,=1+1,weather,-y\n3,"a ""b" c,billing,\n4,x\n',
        options=SKIP,
    )

    header, *rows = csv_of(job)
    assert header == ["line", "code", "message", "id", "text", "label", "'=cmd"]
    assert [row[:2] for row in rows] == [
        ["3", "unknown_label"],
        ["4", "malformed_csv"],
        ["5", "wrong_number_of_columns"],
    ]
    assert rows[0][3:] == ["2", "'=1+1", "weather", "'-y"]
    assert rows[1][3:] == []
    assert rows[2][3:] == ["4", "x"]
    assert len(job.refusals) == 1


def test_refused_rows_of_jsonl_have_the_columns_of_its_first_object(ada):
    content = (
        b'{"text": "I was charged", "label": "billing", "n": 1}\n{"n": [2], "label": "weather", "text": "a b"}\nno\n'
    )

    job = done(ada, content, name="x.jsonl", options=SKIP)

    assert [row[:2] + row[3:] for row in csv_of(job)[1:]] == [
        ["2", "unknown_label", "a b", "weather", "[2]"],
        ["3", "malformed_json"],
    ]


def test_import_with_refused_rows_is_refused_whole_and_says_which(ada):
    job = upload(ada, MIXED)
    with pytest.raises(NotPossible, match="3 of its 5 rows would be refused, and so the whole"):
        imports.start(job, by=ada)

    ImportJob.objects.filter(pk=job.pk).update(status="queued", started_by=ada)  # as if they were good at its preview
    job = imports.work(job.pk, clock=noon)

    assert job.status == "failed"
    assert job.outcome.startswith("3 of 5 rows were refused, so nothing was imported.")
    assert [row[0] for row in csv_of(job)[1:]] == ["4", "5", "6"]
    assert not Ticket.objects.exists()


def test_file_without_anything_new_is_not_started(ada):
    done(ada)

    with pytest.raises(NotPossible, match="Nothing in it is new"):
        imports.start(upload(ada), by=ada)


def test_second_start_of_the_same_import_says_so(ada):
    job = upload(ada)
    stale = ImportJob.objects.get()
    imports.start(job, by=ada)

    with pytest.raises(NotPossible, match="was started already"):
        imports.start(stale, by=ada)


def test_second_import_is_refused_while_one_waits_or_runs(ada):
    first, second = upload(ada), upload(make_user("bob"), MIXED, options=SKIP)
    imports.start(first, by=ada)
    with pytest.raises(ImportInProgress, match=f"import {first.pk} of tickets.csv is at it"):
        imports.start(second, by=ada)
    working._claim(first.pk, now=NOW)

    with pytest.raises(ImportInProgress, match=f"import {first.pk} of tickets.csv is at it"):
        imports.start(second, by=ada)

    second.refresh_from_db()
    assert second.status == "uploaded"


@pytest.mark.django_db(transaction=True)
def test_of_starts_at_the_same_moment_one_is_queued(ada):
    jobs = [upload(ada), upload(make_user("bob"), MIXED, options=SKIP)]
    barrier, refused = threading.Barrier(4), []

    def start(job: ImportJob) -> None:
        barrier.wait()
        try:
            imports.start(ImportJob.objects.get(pk=job.pk), by=ada)
        except NotPossible as refusal:
            refused.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=start, args=[job]) for job in jobs * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 3
    assert ImportJob.objects.queued().count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_workers_at_the_same_moment_one_imports(ada):
    job, barrier, outcomes = imports.start(upload(ada), by=ada), threading.Barrier(3), []

    def work() -> None:
        barrier.wait()
        try:
            outcomes.append(imports.work(job.pk).status)
        except NothingToDo:
            outcomes.append("nothing to do")
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["nothing to do", "nothing to do", "succeeded"]
    assert Ticket.objects.count() == 2


def test_two_uploads_of_one_file_import_it_once(ada):
    first, second = upload(ada), upload(make_user("bob"))
    imports.work(imports.start(first, by=ada).pk, clock=noon)
    again = imports.work(imports.start(second, by=ada).pk, clock=noon)

    assert again.outcome == "Kept: 0 new tickets. Unchanged: 2."
    assert Ticket.objects.count() == 2


def test_cancelled_import_is_not_begun_and_its_file_goes(ada):
    job = imports.start(upload(ada), by=ada)

    imports.cancel(job, by=ada, now=NOW)

    assert (job.status, job.content, job.preview, job.outcome) == (
        "cancelled", None, {}, "Cancelled by ada. Nothing of it was imported.",
    )  # fmt: skip
    with pytest.raises(NothingToDo):
        imports.work(job.pk, clock=noon)


def test_import_that_runs_or_has_ended_is_not_cancelled_nor_changed(ada):
    job = imports.start(upload(ada), by=ada)
    working._claim(job.pk, now=NOW)
    with pytest.raises(NotPossible, match="runs already"):
        imports.cancel(job, by=ada, now=NOW)
    with pytest.raises(NotPossible, match="until an import is started"):
        imports.change(job, SKIP, by=ada)

    ended = imports.cancel(upload(ada, MIXED), by=ada, now=NOW)
    with pytest.raises(NotPossible, match="is cancelled"):
        imports.cancel(ended, by=ada, now=NOW)


# --- Categories -----------------------------------------------------------------------------------
NEW = Options(create_categories=True)
WEATHER = HEADER + b"Will it rain?,Weather\n"


def test_category_is_made_by_who_may_and_ticks_it(ada):
    ada = may(ada, "add_category")

    job = upload(ada, WEATHER, options=NEW)
    assert job.preview["report"]["categories_created"] == ["weather"]
    assert not Category.objects.filter(slug="weather").exists()
    job = imports.work(imports.start(job, by=ada).pk, clock=noon)

    assert job.outcome == "Kept: 1 new tickets. Categories made: 1."
    assert Category.objects.get(slug="weather").name == "Weather"


def test_category_is_not_made_by_who_may_not(ada):
    bob = may(make_user("bob"), "add_category")
    with pytest.raises(NotPossible, match="You may not make categories"):
        upload(ada, WEATHER, options=NEW)
    job = upload(bob, WEATHER, options=NEW)

    with pytest.raises(NotPossible, match="You may not make categories"):
        imports.start(job, by=ada)


def test_category_is_not_made_once_the_right_to_is_gone(ada):
    ada = may(ada, "add_category")
    job = imports.start(upload(ada, WEATHER, options=NEW), by=ada)
    ada.user_permissions.clear()

    job = imports.work(job.pk, clock=noon)

    assert (job.status, job.report["n_refused_by_code"]) == ("failed", {"unknown_label": 1})
    assert not Category.objects.filter(slug="weather").exists()


# --- Failed ---------------------------------------------------------------------------------------
def test_failure_while_it_writes_leaves_nothing_and_is_told_without_the_text(ada, monkeypatch):
    job = imports.start(upload(ada), by=ada)
    monkeypatch.setattr("classifier.importing.place", _fail)

    with pytest.raises(DatabaseError):
        imports.work(job.pk, clock=noon)

    job.refresh_from_db()
    assert (job.status, Ticket.objects.count(), Label.objects.count()) == ("failed", 0, 0)
    assert job.outcome == "It failed (DatabaseError), and nothing was imported. The worker's log has more; try again."


def _fail(*_arguments: Any, **_named: Any) -> None:
    raise DatabaseError("value 'I was charged twice' is odd")


def test_import_that_was_taken_over_leaves_nothing(ada, monkeypatch):
    job = imports.start(upload(ada), by=ada)
    real = working._told

    def told(*arguments: Any) -> Any:  # in its transaction, just before it ends the row
        ImportJob.objects.filter(pk=job.pk).update(attempt=7)
        return real(*arguments)

    monkeypatch.setattr(working, "_told", told)

    with pytest.raises(working.LostImport):
        imports.work(job.pk, clock=noon)

    assert not Ticket.objects.exists()


# --- Looked after ---------------------------------------------------------------------------------
def dying(ada: Any, **fields: Any) -> ImportJob:
    """One that a worker began and whose lease ran out."""
    job = imports.start(upload(ada), by=ada)
    working._claim(job.pk, now=NOW - 2 * LEASE)
    ImportJob.objects.filter(pk=job.pk).update(**fields)
    return ImportJob.objects.get(pk=job.pk)


def test_waiting_imports_are_rung_for_and_again_after_a_minute(ada):
    job = imports.start(upload(ada), by=ada)

    at_once = imports.look_after(NOW)
    soon = imports.look_after(NOW + working.RING_AGAIN)
    later = imports.look_after(NOW + working.RING_AGAIN + timedelta(seconds=1))

    assert (at_once, soon, later) == ([job], [], [job])


def test_import_that_died_is_queued_again_and_then_done(ada):
    job = dying(ada)

    assert imports.look_after(NOW) == [job]

    job.refresh_from_db()
    assert (job.status, job.lease_until, job.attempt) == ("queued", None, 1)
    assert imports.work(job.pk, clock=noon).status == "succeeded"


def test_import_that_dies_each_time_is_given_up(ada):
    job = dying(ada, attempt=3)

    assert imports.look_after(NOW) == []

    job.refresh_from_db()
    assert (job.status, job.ended_at) == ("failed", NOW)
    assert job.outcome.startswith("Its process ended without a word, also in attempt 3. Nothing was imported.")


def test_import_that_died_while_another_one_waits_fails(ada):
    job = dying(ada)
    ImportJob.objects.filter(pk=upload(ada, MIXED).pk).update(status="queued")

    imports.look_after(NOW)

    job.refresh_from_db()
    assert (job.status, job.outcome) == (
        "failed", "Its process ended without a word. Nothing was imported; start it again.",
    )  # fmt: skip


def test_import_at_work_is_left_alone_and_one_without_its_lock_is_dead(ada):
    job = imports.start(upload(ada), by=ada)
    job = working._claim(job.pk, now=NOW)

    with telling.watched(job, clock=noon):
        at_work = imports.look_after(NOW)
    telling._path(job).write_text("left by a killed process")
    left = imports.look_after(NOW)

    assert (at_work, left) == ([], [job])


@pytest.mark.usefixtures("large")
def test_preview_that_died_is_rung_for_again_also_while_an_import_runs(ada):
    job = upload(ada)
    working._claim(job.pk, now=NOW - 2 * LEASE)
    ImportJob.objects.create(
        by=ada, file_name="x", content=b"x", n_bytes=1, status="running", lease_until=NOW + LEASE, started_at=NOW
    )

    assert imports.look_after(NOW) == [job]
    assert imports.work(job.pk, clock=noon).status == "uploaded"


# --- Progress -------------------------------------------------------------------------------------
def test_progress_is_told_by_the_file_while_the_row_cannot_be_written(ada, monkeypatch):
    monkeypatch.setattr(telling, "BEAT_SECONDS", 0)
    monkeypatch.setattr(telling.threading.Thread, "start", lambda self: None)
    monkeypatch.setattr(telling.threading.Thread, "join", lambda self: None)
    texts = "".join(f'"{text.replace(chr(34), "")}",{label}\n' for text, label in shipped(50)).encode()
    job, seen = imports.start(upload(ada, HEADER + texts, options=SKIP), by=ada), []
    real = telling.Bar._note

    def note(bar: Any, *given: Any) -> None:
        real(bar, *given)
        seen.append(imports.progress(ImportJob.objects.get()))

    monkeypatch.setattr(telling.Bar, "_note", note)

    imports.work(job.pk, clock=noon)

    shares = [done.share for done in seen]
    assert shares == sorted(shares)
    assert list(dict.fromkeys(done.step for done in seen)) == [
        "Reading", "Comparing texts", "Storing tickets", "Finding near-duplicates", "Noting near-duplicates",
    ]  # fmt: skip
    assert (shares[-1], imports.progress(ImportJob.objects.get()).step) == (1.0, "")


@pytest.mark.django_db(transaction=True)
def test_progress_and_lease_are_written_by_a_thread_while_it_works(ada, monkeypatch):
    monkeypatch.setattr(telling, "BEAT_SECONDS", 0.01)
    job = working._claim(imports.start(upload(ada), by=ada).pk, now=NOW)
    later = NOW + timedelta(seconds=30)

    with telling.watched(job, clock=lambda: later) as bar:
        list(bar([1, 2], 2, "Reading"))
        for _ in range(2000):
            row = ImportJob.objects.light().get()
            if row.lease_until == later + LEASE:
                break

    assert (row.lease_until, row.step) == (later + LEASE, "Reading")


@pytest.mark.parametrize("content", ["", "no json", "[]", '{"n_done": 1}'])
def test_progress_of_a_file_that_says_nothing_is_the_rows(ada, content):
    job = working._claim(imports.start(upload(ada), by=ada).pk, now=NOW)
    telling._path(job).parent.mkdir(exist_ok=True)
    telling._path(job).write_text(content)

    assert imports.progress(job) == imports.Done(0, 2, "Reading")


# --- Tasks, retention, constraints ----------------------------------------------------------------
def test_task_works_on_an_import_and_looks_after_one_that_died(ada, rung, django_capture_on_commit_callbacks):
    job = imports.start(upload(ada), by=ada)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.ring_import(job)
    tasks.work_on_import(job.pk)
    tasks.work_on_import(job.pk)

    job.refresh_from_db()
    assert job.status == "succeeded"
    assert rung == [("mlops.tasks.work_on_import", job.pk)]


def test_beat_rings_for_imports(ada, rung, django_capture_on_commit_callbacks):
    job = imports.start(upload(ada), by=ada)

    with django_capture_on_commit_callbacks(execute=True):
        said = tasks.look_after_runs()

    assert (rung, said) == ([("mlops.tasks.work_on_import", job.pk)], f"Rang for import {job.pk}.")


def test_files_go_after_seven_days_and_rows_stay(ada):
    ended, left, waiting = done(ada, MIXED, options=SKIP), upload(ada, GOOD + b"x y,general\n"), None
    waiting = imports.start(upload(ada, GOOD + b"z z,general\n"), by=ada)
    later = NOW + FILES_KEPT + timedelta(seconds=1)

    assert purging.purge(NOW + FILES_KEPT, rest=lambda _: None).counts["imports"] == 0
    assert purging.purge(later, rest=lambda _: None).counts["imports"] == 2
    assert purging.purge(later, rest=lambda _: None).counts["imports"] == 0

    for job in (ended, left, waiting):
        job.refresh_from_db()
    assert (ended.status, ended.content, ended.refused, ended.preview, ended.refusals) == (
        "succeeded", None, None, {}, [],
    )  # fmt: skip
    assert (ended.report["n_new"], ended.files_removed_at) == (2, later)
    assert (left.status, left.ended_at, left.content) == ("cancelled", later, None)
    assert left.outcome.startswith("Nobody started it within 7 days")
    assert (waiting.status, bool(waiting.content)) == ("queued", True)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"status": "running"}, "running_has_lease"),
        ({"status": "succeeded"}, "ended_has_a_time"),
        ({"content": None}, "has_its_file_until_it_ends"),
        ({"files_removed_at": NOW}, "removed_files_are_gone"),
    ],
)
def test_the_database_refuses_a_row_that_cannot_be(ada, fields, name):
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        ImportJob.objects.create(**{"by": ada, "file_name": "x", "content": b"x", "n_bytes": 1, **fields})


@pytest.mark.parametrize("status", ["queued", "running"])
def test_the_database_refuses_a_second_one_at_it(ada, status):
    fields = {"by": ada, "file_name": "x", "content": b"x", "n_bytes": 1, "status": status}
    fields |= {"lease_until": NOW, "started_at": NOW}
    ImportJob.objects.create(**fields)

    with pytest.raises(IntegrityError, match=r"(?i)one_|unique"), transaction.atomic():
        ImportJob.objects.create(**fields)
