"""Makes the groups agent, data scientist and admin, with the permissions of mlops/roles.py.

- Permission rows do not exist while migrations run on a new database: they are made here first, for the models as they
  are at this point. What later migrations add they give themselves (roles.giving).
- A group of such a name that is there already belongs to the people who made it: it is neither given permissions, which
  would hand its members powers, nor robbed of any. The log says so. To have the role as well, rename that group and make
  the role by hand, after the table in the README.
- Undone, the groups go that are still as they were made, with who is in them; one that people changed stays. No row of
  a person is touched either way.
"""

from django.db import migrations

from mlops import roles


class Migration(migrations.Migration):
    dependencies = [
        ("mlops", "0009_rollup_schedule"),
        ("classifier", "0007_queue"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("axes", "0010_accessattemptexpiration"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(roles.make, roles.unmake)]
