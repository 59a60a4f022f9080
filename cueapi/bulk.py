"""Inserting many new rows at the least cost."""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models, router
from django.db.models.constants import OnConflict


def insert(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model; one that breaks a constraint of uniqueness is left out.

    Columns that are null in every row are left to the database, where Django's bulk_create names every one there is.
    The rows carry their own primary keys, or nobody asks for them.
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


def insert_from(model: type[models.Model], columns: Sequence[str], rows: models.QuerySet[Any]) -> None:
    """Insert what a query gives: `rows` is a values_list with one value for each of `columns`, in their order."""
    sql, values = rows.query.sql_with_params()
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    into = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"
    with connection.cursor() as cursor:
        cursor.execute(f"{into} {sql}", values)


def _is_given(column: Any, rows: Sequence[models.Model]) -> bool:
    return any(getattr(row, column.attname) is not None for row in rows)
