"""What changed lately among an account's executions is read by an index: the stream of events."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("executions", "0009_fill_error_class"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["account", "updated_at", "id"], name="execution_changed"),
        ),
    ]
