"""quickstart: every step once, what is there left as it is, and a run that was killed continued."""

from __future__ import annotations

import csv
import io
import itertools
import re
import socket

import pytest
from django.core.management import call_command

from classifier.management.base import BadUsage, Refused
from classifier.models import ApiKey, Category, Label, ModelVersion, Ticket, User
from mlops import quickstart, shipped
from mlops.models import Promotion, TrainingRun
from tests import factories
from tests.mlops.making import THREE, label_tickets, make_trained, poor_fit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture(autouse=True)
def _few_tickets(settings, tmp_path):
    """A file of 48 of the shipped tickets in place of all: the steps are the same, and take a tenth of the time."""
    of_each = [[row for row in factories.shipped() if row[1] == slug][:16] for slug in THREE]
    settings.GATE_MIN_MACRO_F1 = 0.3  # of 48 tickets not much is learnt
    settings.SHIPPED_TICKETS = tmp_path / "tickets.csv"
    with settings.SHIPPED_TICKETS.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *itertools.chain(*of_each)])


def prepare():
    written = io.StringIO()
    lines = quickstart.Lines(written.write)
    try:
        return quickstart.prepare(lines), written.getvalue()
    finally:
        lines.end()


def run(**options):
    out = io.StringIO()
    call_command("quickstart", no_serve=True, stdout=out, **options)
    return out.getvalue()


def test_quickstart_goes_from_nothing_to_a_version_in_production():
    text = run()

    version = ModelVersion.objects.get()
    assert version.status == "production"
    assert Promotion.objects.get().version == version
    assert Category.objects.exclude(description="").count() == 5
    assert Label.objects.current().count() == Ticket.objects.count() == 48
    steps = [line.strip().split(" ..")[0] for line in text.splitlines() if line.endswith(" s")]
    assert steps[0].startswith("database")
    assert "import the shipped tickets" in text
    assert "warning: Category 'account' needs 7 labelled tickets" in text
    assert "warning: Version 1: macro-F1" in text  # as MLflow cannot be written here
    assert "Not recorded: MLflow at" in text
    assert "judge and promote version 1" in text
    assert re.search(r"fit word_char on \d+ tickets \.+ +\d+\.\d s", text)


def test_quickstart_shows_password_and_key_once_and_keeps_neither():
    text = run()

    password = re.search(r"password, shown only this once: (\S+)", text)[1]
    key = re.search(r"key, shown only this once: (\S+)", text)[1]
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(password)
    assert password not in admin.password
    assert ApiKey.objects.get_from_key(key).scopes == ["predict"]
    again = run()
    assert password not in again
    assert key not in again
    assert "shown only this once" not in again


def test_quickstart_again_does_nothing_that_is_done():
    run()
    before = (Ticket.objects.count(), TrainingRun.objects.count(), User.objects.count(), ApiKey.objects.count())

    text = run()

    after = (Ticket.objects.count(), TrainingRun.objects.count(), User.objects.count(), ApiKey.objects.count())
    assert after == before
    assert text.count("already there") == 5
    assert "version 1 in production" in text
    assert "changepassword admin" in text


def test_quickstart_with_its_port_in_use_does_nothing(settings):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings.API_HOST, settings.API_PORT = other.getsockname()

        with pytest.raises(BadUsage, match="API_PORT"):
            call_command("quickstart")

    assert not Category.objects.exists()


def test_quickstart_leaves_a_retired_category_and_other_superusers_alone():
    factories.make_categories()
    Category.objects.filter(slug="general").update(active=False, description="Retired")
    factories.make_user("root", is_superuser=True)

    shipped.make_categories()

    assert quickstart.make_admin() is None
    assert Category.objects.get(slug="general").description == "Retired"
    assert not Category.objects.get(slug="general").active


def test_quickstart_does_not_bring_back_tickets_that_were_removed():
    run()
    Ticket.objects.filter(pk=Ticket.objects.first().pk).delete()

    run()

    assert Ticket.objects.count() == 47


def test_quickstart_continues_one_that_ended_before_the_promotion():
    label_tickets()
    candidate = make_trained()

    ready, text = prepare()

    assert ready.version == candidate.number
    assert TrainingRun.objects.count() == 1
    assert ModelVersion.objects.get().status == "production"
    assert "fit" not in text


def test_quickstart_keeps_a_version_that_fails_out_of_production_and_says_how_to_go_on(settings):
    settings.GATE_MIN_MACRO_F1 = 1.0
    label_tickets()
    make_trained(poor_fit().model)

    with pytest.raises(Refused, match=r"the gate keeps it out.*promote 1 --force"):
        run()

    assert ModelVersion.objects.get().status == "candidate"


def test_quickstart_on_tickets_that_cannot_be_trained_on_says_why(settings):
    settings.SHIPPED_TICKETS.write_text("text,label\nHello,general\n", "utf-8")

    with pytest.raises(Refused, match=r"cannot be trained on.*two categories"):
        run()


def test_quickstart_with_shipped_tickets_that_are_refused_names_the_file(settings):
    settings.SHIPPED_TICKETS.write_text("text,label\nHello,greetings\n", "utf-8")

    with pytest.raises(Refused, match=r"cannot be imported.*greetings.*tickets\.csv"):
        run()


def test_quickstart_without_the_shipped_tickets_is_bad_usage(settings):
    settings.SHIPPED_TICKETS.unlink()

    with pytest.raises(BadUsage, match="there is none"):
        run()


def test_quickstart_without_room_to_write_is_bad_usage(settings, home):
    (home / "file").write_text("")
    settings.MODELS_DIR = home / "file" / "models"

    with pytest.raises(BadUsage, match="must be a folder with room"):
        run()


def test_lines_are_aligned_and_dotted():
    written = io.StringIO()
    lines = quickstart.Lines(written.write)

    lines.follow("fit")
    lines.follow("  C=1")
    lines.follow("score")
    lines.end("already there")
    lines.end()

    first, second = written.getvalue().splitlines()
    assert re.fullmatch(r"  fit \.{52}   \d\.\d s", first)
    assert second == "  score " + "." * 50 + " already there"


def test_ticking_gives_every_item_and_a_dot_for_each_tenth():
    written = io.StringIO()
    lines = quickstart.Lines(written.write)
    lines.begin("import")

    items = list(lines.ticking(range(25), total=25))

    assert items == list(range(25))
    assert written.getvalue() == "  import " + "." * 12


def test_a_step_that_failed_is_said_to_be_not_done(settings):
    settings.SHIPPED_TICKETS.unlink()
    out = io.StringIO()

    with pytest.raises(BadUsage):
        call_command("quickstart", no_serve=True, stdout=out)

    assert out.getvalue().splitlines()[-1].endswith(". not done")


def test_progress_does_not_push_a_line_out():
    written = io.StringIO()
    lines = quickstart.Lines(written.write)

    lines.begin("import")
    for _ in range(200):
        lines.tick()
    lines.end("done")

    assert len(written.getvalue()) == quickstart.COLUMN + len(" done\n")
