"""The admin's tables filled to any length by Postgres itself, with rows such as use leaves behind."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from classifier.models import (
    ApiKey,
    ApiRequest,
    Category,
    Label,
    ModelArtifact,
    ModelVersion,
    Prediction,
    Ticket,
    TicketBand,
    User,
)  # fmt: skip
from mlops.models import (
    AliasMove,
    Dataset,
    DriftSnapshot,
    ImportJob,
    Promotion,
    RetrainDecision,
    Slot,
    TrainingRun,
)  # fmt: skip

TEXT = "'My parcel ' || n || ' from order ' || md5(n::text) || ' has not arrived and nobody answers the phone'"


def fill(model: type[Model], rows: int, **columns: str) -> int:
    """Adds so many rows; returns the first's id, where ids are numbers.

    columns: SQL of a column's value, in which n counts from 0 to rows - 1 and {ago} is a minute for each later row.
    Columns that are not named hold the field's default, or nothing.
    """
    given = {name: sql.format(ago=f"now() - ({rows} - n) * interval '1 minute'") for name, sql in columns.items()}
    fields = [
        field
        for field in model._meta.local_concrete_fields
        if not (field.primary_key and field.name == "id") or "id" in given
    ]
    parameters: list[Any] = []
    values = []
    for field in fields:
        if field.column in given:
            values.append(given[field.column].replace("%", "%%"))
        else:
            values.append("%s")
            default = None if field.null and not field.has_default() else field.get_default()
            parameters.append(field.get_db_prep_save(default, connection))
    names = ", ".join(f'"{field.column}"' for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{model._meta.db_table}" ({names}) SELECT {", ".join(values)} '  # noqa: S608 (all ours)
            f"FROM generate_series(0, {rows - 1}) n RETURNING {model._meta.pk.column}",
            parameters,
        )
        first = cursor.fetchone()[0]
    return first if isinstance(first, int) else 0


def choice(*words: str) -> str:
    """SQL that goes round the words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return f"(ARRAY[{listed}])[1 + n % {len(words)}]"


def fill_all(rows: int) -> None:
    """So many rows of each model that has a page, beside those that are there."""
    kinds = fill_people(rows)
    version, category = fill_versions(rows)
    fill_tickets(rows, version=version, category=category, **kinds)
    fill_work(rows, version=version, person=kinds["person"])
    fill_schedules(rows)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # now and once; else each test that follows checks them all
        cursor.execute("ANALYZE")


def fill_people(rows: int) -> dict[str, int]:
    person = fill(
        User, rows, username="'person' || n", email="'person' || n || '@example.com'", is_staff="n % 10 = 0",
        date_joined="{ago}", password="'!'",
    )  # fmt: skip
    group = fill(Group, rows, name="'group ' || n")
    fill(User.groups.through, rows, user_id=f"{person} + n", group_id=f"{group} + n % 5")
    fill(
        ApiKey, rows, id="'k' || n || '.h'", prefix="'k' || n", hashed_key="'h'", name="'client ' || n",
        scopes="""'["predict"]'::jsonb""", created="{ago}", revoked="n % 20 = 0",
    )  # fmt: skip
    fill(
        ApiRequest, rows, key_id="'k' || n % 50", route=choice("predict", "categories", "ticket"), method="'POST'",
        status="(ARRAY[200, 200, 200, 400, 503])[1 + n % 5]", latency_ms="4 + n % 90", created_at="{ago}",
    )  # fmt: skip
    fill(
        AccessAttempt, rows, username="'person' || n % 900", ip_address="('10.0.' || n % 200 || '.7')::inet",
        user_agent="'Mozilla/5.0 number ' || n", attempt_time="{ago}", path_info="'/sign-in'", get_data="''",
        post_data="''", http_accept="'*/*'", failures_since_start="1 + n % 7",
    )  # fmt: skip
    kind = ContentType.objects.get_for_model(Category).pk
    fill(
        LogEntry, rows, user_id=f"{person} + n % 20", content_type_id=str(kind), object_id="n::text",
        object_repr="'trade_' || n", action_flag="1 + n % 3", action_time="{ago}",
        change_message="""'[{{"changed": {{"fields": ["Name"]}}}}]'""",
    )  # fmt: skip
    return {"person": person}


def fill_versions(rows: int) -> tuple[int, int]:
    category = fill(Category, rows, slug="'trade_' || n", name="'Trade ' || n", created_at="{ago}", active="n % 10 > 0")
    artifact = ModelArtifact.objects.create(sha256="ab" * 32, content=b"not read", n_bytes=8)
    version = fill(
        ModelVersion, rows, number="n + 1", status=choice("candidate", "archived", "archived"),
        recipe=choice("word_char", "original"), categories="""'["billing"]'::jsonb""",
        artifact_id=f"'{artifact.pk}'", created_at="{ago}",
        metrics="""jsonb_build_object('test', jsonb_build_object('macro_f1', (n % 997) / 1000.0, 'accuracy', 0.9))""",
    )  # fmt: skip
    return version, category


def fill_tickets(rows: int, *, version: int, category: int, person: int) -> None:
    ticket = fill(
        Ticket, rows, text=TEXT, text_digest="md5(n::text)", external_id="'Z-' || n", created_at="{ago}",
        source=choice("api", "api", "import"), split="CASE WHEN n % 4 = 0 THEN 'train' END",
        group="CASE WHEN n % 4 = 0 THEN n END",
    )  # fmt: skip
    fill(TicketBand, rows, ticket_id=f"{ticket} + n", band="n")
    fill(
        Label, rows, ticket_id=f"{ticket} + n", category_id=f"{category} + n % 77", by_id=f"{person} + n % 20",
        source=choice("reviewer", "agent", "import", "api"), created_at="{ago}",
        ended_at="CASE WHEN n % 10 = 0 THEN now() END",
    )  # fmt: skip
    request = ApiRequest.objects.order_by("pk").values_list("pk", flat=True)[0]
    fill(
        Prediction, rows, ticket_id=f"{ticket} + n", version_id=f"{version} + n % 5",
        category_id=f"{category} + n % 77", request_id=f"{request} + n",
        confidence="(n % 1000) / 1000.0", n_words="12", unknown_share="0.1",
        decision=choice("auto", "review"), reason=choice("", "below_threshold"), created_at="{ago}",
    )  # fmt: skip
    fill(
        ImportJob, rows, status=choice("succeeded", "failed", "uploaded"), by_id=f"{person} + n % 20",
        file_name="'tickets-' || n || '.csv'", n_bytes="2000", content="'abc'::bytea", refused="'abc'::bytea",
        outcome="'Imported 12 tickets.'", created_at="{ago}", ended_at="{ago}",
    )  # fmt: skip


def fill_work(rows: int, *, version: int, person: int) -> None:
    dataset = fill(
        Dataset, rows, fingerprint="md5(n::text)", members="'{{}}'::jsonb",
        counts="""'{{"train": {{"billing": 5}}}}'::jsonb""", created_at="{ago}",
    )  # fmt: skip
    run = fill(
        TrainingRun, rows, status=choice("failed", "rejected", "skipped"), trigger=choice("command", "api", "schedule"),
        recipe=choice("word_char", "original"), by_id=f"{person} + n % 20", dataset_id=f"{dataset} + n",
        version_id=f"{version} + n", outcome="'It failed for reason ' || md5(n::text)", mlflow_run_id="md5(n::text)",
        log="repeat('12:00:00 fit' || chr(10), 20)", created_at="{ago}", started_at="{ago}", ended_at="{ago}",
    )  # fmt: skip
    promotion = fill(
        Promotion, rows, version_id=f"{version} + n", replaced_id=f"{version} + (n + 1) % {rows}",
        by_id=f"{person} + n % 20", reason="'Better by ' || n", created_at="{ago}", forced="n % 9 = 0",
    )  # fmt: skip
    fill(
        AliasMove, rows, decision=choice("followed", "put_back"), found="1", left="2",
        promotion_id=f"{promotion} + n", words="'It followed promotion ' || n", created_at="{ago}",
    )  # fmt: skip
    snapshot = fill(
        DriftSnapshot, rows, version_id=f"{version} + n % 5", verdict="'steady'", words="'Steady ' || n",
        method="'resampled'", window_size="500", recent_count="200", reference_count="400", created_at="{ago}",
        signals="(SELECT jsonb_agg(jsonb_build_object('name', 'text', 'value', 0.1)) FROM generate_series(1, 10))",
    )  # fmt: skip
    fill(
        RetrainDecision, rows, cause=choice("labels", "drift", "none"), decision="'started'",
        words="'Because of ' || md5(n::text)", snapshot_id=f"{snapshot} + n", run_id=f"{run} + n", created_at="{ago}",
    )  # fmt: skip


def fill_schedules(rows: int) -> None:
    interval = fill(IntervalSchedule, rows, every="n + 1", period="'minutes'")
    fill(
        CrontabSchedule, rows, minute="(n % 60)::text", hour="(n % 24)::text", day_of_month="'*'", month_of_year="'*'",
        day_of_week="'*'", timezone="'UTC'",
    )  # fmt: skip
    fill(ClockedSchedule, rows, clocked_time="{ago}")
    fill(
        PeriodicTask, rows, name="'Schedule ' || n", task="'mlops.tasks.heartbeat'", interval_id=f"{interval} + n % 9",
        args="'[]'", kwargs="'{{}}'", headers="'{{}}'", total_run_count="0", date_changed="now()", description="''",
        enabled="false",
    )  # fmt: skip
    fill(
        Slot, rows, name="'Schedule ' || n % 9", task="'mlops.tasks.heartbeat'", due_at="{ago}", sent_at="{ago}",
        status=choice("done", "failed", "done"), started_at="{ago}", ended_at="{ago}",
        words="'It took note of ' || md5(n::text)",
    )  # fmt: skip
