r"""What searches the words of tickets on Postgres: a column that it keeps itself, and its index. SQLite reads the texts.

The column is none of Django's: only classifier/searching.py asks for it. An index over the expression alone would not
do: for a word that many tickets have the planner walks through the newest of them, and taking each text apart anew took
seconds. Punctuation parts words: by itself, Postgres takes `order-12` for `order` and the number -12.
"""

from django.db import migrations

COLUMN = r"""
ALTER TABLE classifier_ticket ADD COLUMN words tsvector GENERATED ALWAYS AS (
    to_tsvector('simple', translate(text, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', '                                '))
) STORED
"""


def add(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(COLUMN, params=None)  # its per cent sign is one
        schema_editor.execute("CREATE INDEX classifier_ticket_words ON classifier_ticket USING gin (words)")


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE classifier_ticket DROP COLUMN words")  # its index goes along


class Migration(migrations.Migration):

    dependencies = [("classifier", "0007_queue")]

    operations = [migrations.RunPython(add, remove)]
