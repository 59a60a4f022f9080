"""Statements whose SQL is written once, for paths so busy that Django takes longer to write SQL than to have it run.

Whoever states one writes an ordinary query with `given(…)` where its values will be. Django writes the SQL on first
use, for the database at hand; from then on only the values are filled in.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models import Expression, Field, Lookup, QuerySet
from django.db.models.sql import UpdateQuery

Query = Callable[[], "QuerySet[Any]"]


class given(Expression):  # noqa: N801  it reads as a function
    """A value that comes when the statement runs, of this kind of field; a collection of them with `many`."""

    def __init__(self, name: str, field: "Field[Any, Any]", *, many: bool = False) -> None:
        super().__init__(output_field=field)
        self.name, self.many = name, many

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def fill(self, values: Mapping[str, Any]) -> Any:
        """The value as the database has it."""
        if not self.many:
            return self._stored(values[self.name])
        stored = [self._stored(one) for one in values[self.name]]
        return stored if connection.vendor == "postgresql" else json.dumps(stored)

    def _stored(self, value: Any) -> Any:
        return self.output_field.get_db_prep_save(value, connection)


@Field.register_lookup
class Among(Lookup):
    """`pk__among=given(…, many=True)`: one SQL for collections of all sizes, where IN has another for each."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, before = self.process_lhs(compiler, connection)
        value, after = self.process_rhs(compiler, connection)
        some = "= ANY({})" if connection.vendor == "postgresql" else "IN (SELECT value FROM json_each({}))"
        return f"{column} {some.format(value)}", [*before, *after]


class _Statement:
    def __init__(self) -> None:
        self._sql = ""
        self._values: Sequence[Any] = ()

    def _execute(self, cursor: Any, values: Mapping[str, Any]) -> None:
        if not self._sql:
            self._sql, self._values = self._written()
        cursor.execute(self._sql, [one.fill(values) if isinstance(one, given) else one for one in self._values])

    def _written(self) -> tuple[str, Sequence[Any]]:
        raise NotImplementedError


class Select(_Statement):
    """A `values_list`, read at once."""

    def __init__(self, query: Query) -> None:
        super().__init__()
        self._query = query

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            self._execute(cursor, values)
            found = cursor.fetchall()
        if not self._converters:
            return list(found)
        return [self._converted(list(row)) for row in found]

    def _written(self) -> tuple[str, Sequence[Any]]:
        sql, values = self._compiler.as_sql()
        return sql, values

    @cached_property
    def _compiler(self) -> Any:
        return self._query().query.get_compiler(DEFAULT_DB_ALIAS)

    @cached_property
    def _converters(self) -> Sequence[tuple[int, Sequence[Any], Any]]:
        """By column, what makes of a stored value one of Python."""
        found = self._compiler.get_converters([column for column, _, _ in self._compiler.select])
        return [(place, converters, expression) for place, (converters, expression) in found.items()]

    def _converted(self, row: list[Any]) -> tuple[Any, ...]:
        for place, converters, expression in self._converters:
            for convert in converters:
                row[place] = convert(row[place], expression, connection)
        return tuple(row)


class Update(_Statement):
    """An update of what a query finds; the changes may be expressions."""

    def __init__(self, query: Query, **changes: Any) -> None:
        super().__init__()
        self._query, self._changes = query, changes

    def run(self, **values: Any) -> int:
        """How many rows it changed."""
        with connection.cursor() as cursor:
            self._execute(cursor, values)
            return int(cursor.rowcount)

    def _written(self) -> tuple[str, Sequence[Any]]:
        query: Any = self._query().query.chain(UpdateQuery)
        query.add_update_values(self._changes)
        sql, values = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
        return sql, values


class InsertFrom(_Statement):
    """New rows from what a query finds: a `values_list` with a value for each of `columns`, in their order."""

    def __init__(self, model: type[models.Model], columns: Sequence[str], query: Query) -> None:
        super().__init__()
        self._model, self._columns, self._query = model, columns, query

    def run(self, **values: Any) -> None:
        with connection.cursor() as cursor:
            self._execute(cursor, values)

    def _written(self) -> tuple[str, Sequence[Any]]:
        sql, values = self._query().query.sql_with_params()
        quote = connection.ops.quote_name
        return f"INSERT INTO {quote(self._model._meta.db_table)} ({', '.join(map(quote, self._columns))}) {sql}", values
