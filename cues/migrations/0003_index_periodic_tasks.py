"""Indexes on django-celery-beat's tables, so that neither beat nor a change of one cue reads them whole.

Nearly every periodic task belongs to a cue; beat's stock part wants the few others. And a change of a schedule looks for
the crontab that it can share.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("cues", "0002_success_expected_by"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX cues_ordinary_periodic_task ON django_celery_beat_periodictask (id)"
            " WHERE task <> 'executions.fire_due'",
            "DROP INDEX cues_ordinary_periodic_task",
        ),
        migrations.RunSQL(
            "CREATE INDEX cues_crontab_spec ON django_celery_beat_crontabschedule"
            " (minute, hour, day_of_month, month_of_year, day_of_week, timezone)",
            "DROP INDEX cues_crontab_spec",
        ),
    ]
