"""Statements whose SQL is written once, for paths so busy that Django takes longer to write SQL than to have it run.

Whoever states one writes an ordinary query with `given(…)` where its values will be. Django writes the SQL on first
use, for the database at hand; from then on only the values are filled in.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models import Expression, Field, Lookup, QuerySet
from django.db.models.sql import UpdateQuery

Query = Callable[[], "QuerySet[Any]"]
Row = TypeVar("Row", bound=models.Model)


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


@dataclass(frozen=True)
class _Written:
    """A statement's SQL, its values in their order, and what makes of a stored value one of Python, by column."""

    sql: str
    values: Sequence[Any]
    converters: Sequence[tuple[int, Sequence[Any], Any]] = ()


class _Statement:
    """Once written it is the same for all threads."""

    def __init__(self) -> None:
        self._written: _Written | None = None

    def _execute(self, cursor: Any, values: Mapping[str, Any]) -> _Written:
        written = self._written = self._written or self._write()  # threads that start together may write it twice
        cursor.execute(written.sql, _filled(written, values))
        return written

    def _write(self) -> _Written:
        raise NotImplementedError


def _filled(written: _Written, values: Mapping[str, Any]) -> list[Any]:
    return [one.fill(values) if isinstance(one, given) else one for one in written.values]


class Select(_Statement):
    """A `values_list`, read at once."""

    def __init__(self, query: Query) -> None:
        super().__init__()
        self._query = query

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            written = self._execute(cursor, values)
            return [_converted(list(row), written) for row in cursor.fetchall()]

    def _write(self) -> _Written:
        compiler = self._query().query.get_compiler(DEFAULT_DB_ALIAS)
        sql, values = compiler.as_sql()
        found = compiler.get_converters([column for column, _, _ in compiler.select])
        return _Written(sql, values, [(place, *converting) for place, converting in found.items()])


class Instances(Select, Generic[Row]):
    """What a query of a model finds, read at once."""

    def __init__(self, model: type[Row], query: Query, *columns: str) -> None:
        """`columns`: by attname; all of them by default, others are read when they are asked for."""
        self._model = model
        self._columns = columns or tuple(column.attname for column in model._meta.concrete_fields)
        super().__init__(lambda: query().values_list(*self._columns))

    def all(self, **values: Any) -> list[Row]:
        return [self._model.from_db(DEFAULT_DB_ALIAS, self._columns, row) for row in self.rows(**values)]

    def first(self, **values: Any) -> Row | None:
        """The first of what it finds; a query that may find many should say so with a slice."""
        return next(iter(self.all(**values)), None)


def _converted(row: list[Any], written: _Written) -> tuple[Any, ...]:
    for place, converters, expression in written.converters:
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

    def _write(self) -> _Written:
        query: Any = self._query().query.chain(UpdateQuery)
        query.add_update_values(self._changes)
        return _Written(*query.get_compiler(DEFAULT_DB_ALIAS).as_sql())


class UpdateEach(Update):
    """The same for many sets of values, in one round trip."""

    def run_all(self, each: Sequence[Mapping[str, Any]]) -> None:
        written = self._written = self._written or self._write()
        with connection.cursor() as cursor:
            cursor.executemany(written.sql, [_filled(written, values) for values in each])


class InsertFrom(_Statement):
    """New rows from what a query finds: a `values_list` with a value for each of `columns`, in their order."""

    def __init__(self, model: type[models.Model], columns: Sequence[str], query: Query) -> None:
        super().__init__()
        self._model, self._columns, self._query = model, columns, query

    def run(self, **values: Any) -> None:
        with connection.cursor() as cursor:
            self._execute(cursor, values)

    def _write(self) -> _Written:
        sql, values = self._query().query.sql_with_params()
        quote = connection.ops.quote_name
        into = f"INSERT INTO {quote(self._model._meta.db_table)} ({', '.join(map(quote, self._columns))})"
        return _Written(f"{into} {sql}", values)
