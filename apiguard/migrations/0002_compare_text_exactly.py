# For MariaDB and MySQL alone: other databases compare text exactly, and have the constraint.

from django.db import migrations

from apiguard.models.exact_text import compare_text_exactly, keep_headers_unique


class Migration(migrations.Migration):
    dependencies = [
        ("apiguard", "0001_initial"),
    ]

    operations = [
        # Neither database takes back a change of tables with its transaction.
        migrations.RunPython(compare_text_exactly, migrations.RunPython.noop, atomic=False),
        migrations.RunPython(keep_headers_unique, migrations.RunPython.noop, atomic=False),
    ]
