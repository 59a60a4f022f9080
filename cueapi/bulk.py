"""Inserting many new rows at the least cost."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import connections, models, router


def insert(rows: Sequence[models.Model]) -> None:
    """Insert new rows of one model; one that breaks a constraint of uniqueness is left out.

    Columns that are null in every row are left to the database, where Django's bulk_create names every one there is.
    The rows carry their own primary keys, or nobody asks for them; their values are no expressions.
    """
    if not rows:
        return
    connection = connections[router.db_for_write(type(rows[0]))]
    columns = [column for column in type(rows[0])._meta.concrete_fields if _is_given(column, rows)]
    size = max(connection.ops.bulk_batch_size(columns, list(rows)), 1)
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        one = f"({', '.join(['%s'] * len(columns))})"
        values = [
            column.get_db_prep_save(column.pre_save(row, True), connection) for row in batch for column in columns
        ]
        given = f"VALUES {', '.join([one] * len(batch))}"
        _insert_selected(type(batch[0]), [str(column.column) for column in columns], given, values)


def insert_from(model: type[models.Model], columns: Sequence[str], rows: models.QuerySet[Any]) -> None:
    """Insert what a query gives: `rows` is a values_list with one value for each of `columns`, in their order.

    One that breaks a constraint of uniqueness is left out.
    """
    sql, values = rows.query.sql_with_params()
    _insert_selected(model, columns, sql, values)


def insert_copies(
    template: models.Model, of: models.QuerySet[Any], copied: Mapping[str, str], keys: Mapping[Any, Any]
) -> None:
    """Insert a copy of `template` for each row in `of` that `keys` names, without the values leaving the database.

    A copy takes the columns in `copied` (by its own column, the row's) from its row, and as its primary key what `keys`
    has for the row's. One that breaks a constraint of uniqueness is left out.
    """
    same = [
        column
        for column in template._meta.concrete_fields
        if not column.primary_key and column.column not in copied and getattr(template, column.attname) is not None
    ]
    constants = [models.Value(getattr(template, column.attname), output_field=column) for column in same]
    made, values = of.filter(pk__in=keys).values_list("pk", *copied.values(), *constants).query.sql_with_params()
    names = ", ".join(f"c{number}" for number in range(len(copied) + len(same)))
    sql = (
        f"WITH made (source, {names}) AS ({made}), "  # noqa: S608  names and numbers of ours
        f"own (pk, source) AS (VALUES {', '.join(['(%s, %s)'] * len(keys))}) "
        f"SELECT own.pk, {names} FROM made JOIN own ON own.source = made.source WHERE true"
    )
    model, columns = type(template), [_pk(template).column, *copied, *(column.column for column in same)]
    _insert_selected(model, columns, sql, [*values, *_pairs(model, of.model, keys)])


def _pairs(model: type[models.Model], source: type[models.Model], keys: Mapping[Any, Any]) -> Iterator[Any]:
    """The new and the old key of each row, one after the other, as the database has them."""
    connection = connections[router.db_for_write(model)]
    for old, new in keys.items():
        yield _pk(model).get_db_prep_save(new, connection)
        yield _pk(source).get_db_prep_save(old, connection)


def _pk(model: models.Model | type[models.Model]) -> Any:
    return model._meta.pk


def _insert_selected(model: type[models.Model], columns: Sequence[str], sql: str, values: Sequence[Any]) -> None:
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    into = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"
    with connection.cursor() as cursor:
        cursor.execute(f"{into} {sql} ON CONFLICT DO NOTHING", values)


def _is_given(column: Any, rows: Sequence[models.Model]) -> bool:
    return any(getattr(row, column.attname) is not None for row in rows)
