"""Indexes on django-celery-beat's tables."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("cues", "0002_success_expected_by")]

    operations: list[migrations.RunSQL] = []
