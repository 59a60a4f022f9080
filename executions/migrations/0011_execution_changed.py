"""What is seen of executions: an index of what changed lately, for the stream of events, and the caller's trace."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("executions", "0009_fill_error_class"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="traceparent",
            field=models.CharField(blank=True, editable=False, max_length=55, null=True),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["account", "updated_at", "id"], name="execution_changed"),
        ),
    ]
