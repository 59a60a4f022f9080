"""Inserting many new rows at the least cost: columns that are null in every row are left to the database."""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models, router
from django.db.models.constants import OnConflict


def insert(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model; one that breaks a constraint of uniqueness is left out.

    The rows carry their own primary keys, or nobody asks for them. Django's bulk_create names every column there is.
    """
    if not rows:
        return
    model = type(rows[0])
    using = router.db_for_write(model)
    columns = [column for column in model._meta.concrete_fields if _is_given(column, rows)]
    size = max(connections[using].ops.bulk_batch_size(columns, list(rows)), 1)
    manager: Any = model._base_manager
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        manager._insert(batch, fields=columns, using=using, on_conflict=OnConflict.IGNORE)


def _is_given(column: Any, rows: Sequence[models.Model]) -> bool:
    return any(getattr(row, column.attname) is not None for row in rows)
