"""Triggers that refuse to change or remove a promotion or a dataset, whoever asks the database.

A later migration that remakes one of the two tables on SQLite loses its triggers there and must call `install` again; a
test looks for them. Postgres' TRUNCATE passes by them; SQLite's flush does not, so a test runner lifts them for it.
"""

from django.db import migrations

TABLES = {
    "mlops_promotion": "A promotion is a record: it is neither changed nor removed.",
    "mlops_dataset": "A dataset is frozen: it is neither changed nor removed.",
}


def install(apps, schema_editor):
    for statement in statements(schema_editor.connection.vendor):
        schema_editor.execute(statement)


def remove(apps, schema_editor):
    on_postgres = schema_editor.connection.vendor == "postgresql"
    for table in TABLES:
        for event in ("update", "delete", "replace"):
            on = f" ON {table}" if on_postgres else ""
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_no_{event}{on}")
    if on_postgres:
        schema_editor.execute("DROP FUNCTION IF EXISTS mlops_refuse()")


def statements(vendor):
    if vendor == "postgresql":
        yield (
            "CREATE OR REPLACE FUNCTION mlops_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '%%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
    for table, words in TABLES.items():
        for event in ("update", "delete"):
            head = f"CREATE TRIGGER {table}_no_{event} BEFORE {event.upper()} ON {table}"
            if vendor == "postgresql":
                yield f"{head} FOR EACH ROW EXECUTE FUNCTION mlops_refuse('{words}')"
            else:
                yield f"{head} BEGIN SELECT RAISE(ABORT, '{words}'); END"
        if vendor != "postgresql":  # SQLite's REPLACE removes the old row without asking the trigger of removals
            yield (
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, '{words}'); END"
            )


class Migration(migrations.Migration):

    dependencies = [("mlops", "0002_runs_promotions_alias")]

    operations = [migrations.RunPython(install, remove)]
