"""Compiles a SOQL tree to parameterised SQLite SQL: resolves names, joins parents, translates conditions and order."""

from collections.abc import Mapping
from datetime import date

from sandbox.salesforce.errors import (
    SalesforceError,
    bad_request,
    no_such_column,
    no_such_object,
    no_such_relationship,
)
from sandbox.salesforce.query_plan import ChildPlan, Plan
from sandbox.salesforce.record_shape import ADDRESS_PARTS, RecordShape
from sandbox.salesforce.schema import TEXT_TYPES, Field, SObject
from sandbox.salesforce.soql import (
    Call,
    Comparison,
    Condition,
    FieldPath,
    Joined,
    Negation,
    Ordering,
    Place,
    Query,
    malformed,
    query_error,
)
from sandbox.salesforce.soql_conditions import Sql, WrongComparison, compared

MAX_OFFSET = 2000
MAX_LEVELS_UP = 5
MAX_SUBQUERIES = 20
MAX_SEMI_JOINS = 2
MAX_ROWS_WITH_ALL_FIELDS = 200
MAX_GROUPS = 2000

_AGGREGATES = {
    "COUNT": "count(",
    "COUNT_DISTINCT": "count(DISTINCT ",
    "MAX": "max(",
    "MIN": "min(",
    "SUM": "sum(",
    "AVG": "avg(",
}
_NUMERIC_AGGREGATES = ("SUM", "AVG")
# Sums of binary fractions carry noise far behind the last digit that Salesforce keeps.
_AGGREGATE_DIGITS = 6


def compile_query(
    query: Query, text: str, objects: Mapping[str, SObject], today: date, *, all_rows: bool = False
) -> Plan:
    """The plan of a parsed query; `text` is the statement itself, for the places in error messages.

    `objects` are what the user may see, by lower-case name; `all_rows` takes deleted records in (queryAll).
    """
    name = query.source.parts[0]
    sobject = objects.get(name.lower()) if len(query.source.parts) == 1 else None
    if sobject is None:
        raise query_error("INVALID_TYPE", text, query.source.place, no_such_object(".".join(query.source.parts)))
    return _Compiler(query, text, objects, today, all_rows, sobject).plan()


class _Compiler:
    """Compiles one SELECT; subqueries and semi-joins get a compiler of their own."""

    def __init__(
        self,
        query: Query,
        text: str,
        objects: Mapping[str, SObject],
        today: date,
        all_rows: bool,
        sobject: SObject,
        prefix: str = "t",
    ) -> None:
        self.query, self.text, self.objects, self.today = query, text, objects, today
        self.all_rows, self.sobject, self.prefix = all_rows, sobject, prefix
        self.joins: dict[tuple[str, ...], str] = {}
        self.join_sql: list[str] = []
        self.columns: list[str] = []
        self.semi_joins = 0

    # -- the whole ---------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        query = self.query
        calls = [item for item in query.items if isinstance(item, Call) and item.function != "FIELDS"]
        if query.offset is not None and query.offset > MAX_OFFSET:
            raise bad_request("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
        if (query.limit or 0) < 0 or (query.offset or 0) < 0:
            raise malformed(self.text, query.source.place, "LIMIT and OFFSET must not be negative")
        if len(query.items) == 1 and calls and calls[0].function == "COUNT" and calls[0].argument is None:
            plan = self._empty_plan("count")
        elif calls or query.group_by:
            plan = self._aggregate_plan()
        else:
            plan = self._record_plan()
        plan.where, plan.parameters = self._where(query.where)
        plan.order = self._order(query.order_by, plan)
        plan.joins = "".join(self.join_sql)
        return plan

    def _empty_plan(self, kind: str, shape: RecordShape | None = None) -> Plan:
        return Plan(
            self.sobject,
            kind,
            self.columns,
            shape,
            [],
            "",
            "",
            [],
            limit=self.query.limit,
            offset=self.query.offset or 0,
        )

    def _record_plan(self) -> Plan:
        if self.query.having:
            raise malformed(self.text, self.query.source.place, "HAVING needs GROUP BY")
        self.columns.append(f'{self.prefix}0."Id"')
        shape = RecordShape(self.sobject.name, 0)
        plan = self._empty_plan("records", shape)
        for item in self.query.items:
            if isinstance(item, Query):
                plan.children.append(self._child(item))
                shape.add_children(plan.children[-1].relationship.name)
            elif isinstance(item, Call):
                for each in self._fields_function(item):
                    self._select(plan, shape, FieldPath((each.name,), item.place))
            else:
                self._select(plan, shape, item)
        if len(plan.children) > MAX_SUBQUERIES:
            raise malformed(self.text, self.query.source.place, f"at most {MAX_SUBQUERIES} subqueries are allowed")
        return plan

    def _fields_function(self, call: Call) -> list[Field]:
        which = call.argument.parts[0].upper() if call.argument else ""
        if which not in ("ALL", "STANDARD", "CUSTOM"):
            raise malformed(self.text, call.place, "FIELDS takes ALL, STANDARD or CUSTOM")
        limit = self.query.limit
        if which != "STANDARD" and (limit is None or limit > MAX_ROWS_WITH_ALL_FIELDS):
            raise malformed(
                self.text,
                call.place,
                f"The SOQL FIELDS function must have a LIMIT of at most {MAX_ROWS_WITH_ALL_FIELDS}",
            )
        return [each for each in self.sobject.fields if which == "ALL" or each.custom == (which == "CUSTOM")]

    # -- what is selected --------------------------------------------------------------------------------------

    def _select(self, plan: Plan, shape: RecordShape, path: FieldPath) -> None:
        parts = self._parts(path)
        sobject, names = self.sobject, []
        for depth, part in enumerate(parts[:-1], 1):
            reference, sobject = self._step(sobject, part, path)
            alias = self._join(parts[:depth], path)
            names.append(str(reference.relationship))
            shape = shape.parent(names[-1], sobject.name, self._column(f'{alias}."Id"'))
        chosen = self._field(sobject, parts[-1], path)
        if shape.has(chosen.name):
            raise query_error("INVALID_FIELD", self.text, path.place, f"duplicate field selected: {chosen.name}")
        alias = self._join(parts[:-1], path)
        if chosen.type == "address":
            kind = chosen.name.removesuffix("Address")
            shape.add_address(chosen.name, [self._column(f'{alias}."{kind}{part}"') for part in ADDRESS_PARTS])
            position = 0
        else:
            position = self._column(f'{alias}."{chosen.name}"')
            shape.add(chosen.name, position, boolean=chosen.type == "boolean")
        plan.leaves.append((".".join([*names, chosen.name]), position, chosen))

    def _column(self, sql: str) -> int:
        if sql not in self.columns:
            self.columns.append(sql)
        return self.columns.index(sql)

    def _child(self, query: Query) -> ChildPlan:
        name = query.source.parts[-1]
        relationship = next((each for each in self.sobject.children if each.name.lower() == name.lower()), None)
        if relationship is None:
            place = no_such_relationship(name, "FROM part of query call")
            raise query_error("INVALID_TYPE", self.text, query.source.place, place)
        if any(isinstance(item, (Query, Call)) for item in query.items) or query.group_by:
            raise malformed(self.text, query.source.place, "only fields can be selected in a subquery")
        if query.offset is not None:
            raise malformed(self.text, query.source.place, "OFFSET is not allowed in a subquery")
        child = self.objects[relationship.child.lower()]
        compiler = _Compiler(query, self.text, self.objects, self.today, self.all_rows, child)
        plan = compiler.plan()
        plan.columns.append(f't0."{relationship.field}"')
        return ChildPlan(relationship, plan)

    # -- aggregates --------------------------------------------------------------------------------------------

    def _aggregate_plan(self) -> Plan:
        query = self.query
        plan = self._empty_plan("aggregate")
        grouped = {self._column_of(path)[0]: path for path in query.group_by}
        unnamed = 0
        for item in query.items:
            if isinstance(item, Query):
                raise malformed(self.text, item.source.place, "subqueries are not allowed with GROUP BY")
            if isinstance(item, Call):
                self.columns.append(self._aggregate(item)[0])
                plan.names.append(item.alias or f"expr{unnamed}")
                unnamed += item.alias is None
                continue
            column, chosen = self._column_of(item)
            if column not in grouped:
                raise malformed(self.text, item.place, f"Field must be grouped or aggregated: {chosen.name}")
            self.columns.append(column)
            plan.names.append(chosen.name)
            plan.leaves.append((chosen.name, len(self.columns) - 1, chosen))
        plan.group = ", ".join(grouped)
        if query.having:
            plan.having, plan.having_parameters = self._condition(query.having, aggregates=True)
        return plan

    def _aggregate(self, call: Call) -> tuple[str, Field]:
        opening = _AGGREGATES.get(call.function)
        if opening is None:
            raise malformed(self.text, call.place, f"unknown or unsupported function: {call.function}")
        if call.argument is None:
            raise malformed(self.text, call.place, f"{call.function} needs a field here")
        column, chosen = self._column_of(call.argument)
        if call.function in _NUMERIC_AGGREGATES and chosen.type not in ("double", "currency", "percent", "int"):
            raise malformed(
                self.text, call.place, f"field {chosen.name} does not support aggregate operator {call.function}"
            )
        if call.function in ("MAX", "MIN") and chosen.type == "boolean":
            raise malformed(
                self.text, call.place, f"field {chosen.name} does not support aggregate operator {call.function}"
            )
        sql = f"{opening}{column})"
        if call.function in _NUMERIC_AGGREGATES:
            sql = f"round({sql}, {_AGGREGATE_DIGITS})"
        counts = call.function.startswith("COUNT")
        return sql, Field(call.function, "int", call.function) if counts else chosen

    # -- conditions and order ----------------------------------------------------------------------------------

    def _where(self, condition: Condition | None) -> Sql:
        parts: list[str] = []
        parameters: list[object] = []
        if self.sobject.has("IsDeleted") and not self.all_rows:
            parts.append(f'{self.prefix}0."IsDeleted" = 0')
        if condition is not None:
            sql, parameters = self._condition(condition)
            parts.append(sql)
        return " AND ".join(parts) or "1", parameters

    def _condition(self, condition: Condition, *, aggregates: bool = False) -> Sql:
        if isinstance(condition, Negation):
            sql, parameters = self._condition(condition.of, aggregates=aggregates)
            # SQL's unknown is SOQL's false, so the negation of it is true.
            return f"NOT coalesce({sql}, 0)", parameters
        if isinstance(condition, Joined):
            parts = [self._condition(part, aggregates=aggregates) for part in condition.parts]
            joined = _joined(condition.word, [sql for sql, _ in parts])
            return joined, [value for _, values in parts for value in values]
        return self._comparison(condition, aggregates)

    def _comparison(self, comparison: Comparison, aggregates: bool) -> Sql:
        operand = comparison.operand
        if isinstance(operand, Call):
            if not aggregates:
                raise malformed(self.text, operand.place, f"unexpected token: '{operand.function}'")
            column, chosen = self._aggregate(operand)
        else:
            column, chosen = self._column_of(operand)
        if isinstance(comparison.values, Query):
            return self._semi_join(column, comparison.operator, comparison.values)
        try:
            return compared(column, chosen, comparison.operator, comparison.values, self.today)
        except WrongComparison as problem:
            raise query_error(problem.code, self.text, operand.place, str(problem)) from None

    def _semi_join(self, column: str, operator: str, query: Query) -> Sql:
        self.semi_joins += 1
        if self.semi_joins > MAX_SEMI_JOINS:
            raise malformed(self.text, query.source.place, f"at most {MAX_SEMI_JOINS} semi-joins are allowed")
        sobject = self.objects.get(query.source.parts[0].lower())
        if sobject is None:
            raise query_error("INVALID_TYPE", self.text, query.source.place, no_such_object(query.source.parts[0]))
        if len(query.items) != 1 or not isinstance(query.items[0], FieldPath):
            raise malformed(self.text, query.source.place, "a semi-join selects exactly one field")
        inner = _Compiler(
            query, self.text, self.objects, self.today, self.all_rows, sobject, f"{self.prefix}s{self.semi_joins}_"
        )
        selected, _ = inner._column_of(query.items[0])
        where, parameters = inner._where(query.where)
        sql = (
            f'{column} {operator} (SELECT {selected} FROM "{sobject.name}" {inner.prefix}0{"".join(inner.join_sql)} '
            f"WHERE {selected} IS NOT NULL AND {where})"
        )
        return (f"({sql} OR {column} IS NULL)" if operator == "NOT IN" else sql), parameters

    def _order(self, orderings: tuple[Ordering, ...], plan: Plan) -> str:
        parts = []
        for ordering in orderings:
            if isinstance(ordering.by, Call):
                if plan.kind != "aggregate":
                    raise malformed(self.text, ordering.by.place, f"unexpected token: '{ordering.by.function}'")
                expression = self._aggregate(ordering.by)[0]
            else:
                column, chosen = self._column_of(ordering.by)
                if not chosen.filterable:
                    raise query_error(
                        "INVALID_FIELD",
                        self.text,
                        ordering.by.place,
                        f"field '{chosen.name}' can not be sorted in a query call",
                    )
                if plan.kind != "records" and column not in plan.group.split(", "):
                    raise malformed(
                        self.text, ordering.by.place, f"Ordered field must be grouped or aggregated: {chosen.name}"
                    )
                expression = _sort_key(column, chosen)
            direction = "DESC" if ordering.descending else "ASC"
            parts.append(f"{expression} {direction} NULLS {'LAST' if ordering.nulls_last else 'FIRST'}")
        if parts and plan.kind == "records":
            parts.append(f"{self.prefix}0._row")
        return ", ".join(parts)

    # -- names -------------------------------------------------------------------------------------------------

    def _parts(self, path: FieldPath) -> tuple[str, ...]:
        """The path without the alias or the name of the object itself in front."""
        first = path.parts[0].lower()
        own = {self.sobject.name.lower(), (self.query.alias or self.sobject.name).lower()}
        if len(path.parts) > 1 and first in own and first not in self.sobject.by_relationship:
            return path.parts[1:]
        return path.parts

    def _column_of(self, path: FieldPath) -> tuple[str, Field]:
        parts = self._parts(path)
        sobject = self.sobject
        for part in parts[:-1]:
            _, sobject = self._step(sobject, part, path)
        chosen = self._field(sobject, parts[-1], path)
        return f'{self._join(parts[:-1], path)}."{chosen.name}"', chosen

    def _field(self, sobject: SObject, name: str, path: FieldPath) -> Field:
        chosen = sobject.by_name.get(name.lower())
        if chosen is None:
            raise query_error("INVALID_FIELD", self.text, path.place, no_such_column(name, sobject.name))
        return chosen

    def _step(self, sobject: SObject, name: str, path: FieldPath) -> tuple[Field, SObject]:
        reference = sobject.by_relationship.get(name.lower())
        target = self.objects.get(str(reference.refers_to).lower()) if reference else None
        if reference is None or target is None:
            raise self._unknown_relationship(name, path.place)
        return reference, target

    def _unknown_relationship(self, name: str, place: Place) -> SalesforceError:
        return query_error("INVALID_FIELD", self.text, place, no_such_relationship(name, "field path"))

    def _join(self, parts: tuple[str, ...], path: FieldPath) -> str:
        """The table alias of a parent; each parent is joined once, and a missing one leaves nulls."""
        if len(parts) > MAX_LEVELS_UP:
            raise malformed(self.text, path.place, f"at most {MAX_LEVELS_UP} levels of parents are allowed")
        alias, sobject, walked = f"{self.prefix}0", self.sobject, []
        for part in parts:
            reference, target = self._step(sobject, part, path)
            walked.append(part.lower())
            known = self.joins.get(tuple(walked))
            if known is None:
                known = f"{self.prefix}{len(self.joins) + 1}"
                self.joins[tuple(walked)] = known
                self.join_sql.append(f' LEFT JOIN "{target.name}" {known} ON {known}."Id" = {alias}."{reference.name}"')
            alias, sobject = known, target
        return alias


def _sort_key(column: str, chosen: Field) -> str:
    """Picklists sort in their defined order, other text without case."""
    if chosen.type == "picklist" and chosen.values and chosen.name != "CurrencyIsoCode":
        cases = " ".join(
            f"WHEN '{value.replace(chr(39), chr(39) * 2)}' THEN {place}" for place, value in enumerate(chosen.values)
        )
        return f"CASE {column} {cases} ELSE folded({column}) END"
    return f"folded({column})" if chosen.type in TEXT_TYPES else column


def _joined(word: str, parts: list[str]) -> str:
    """Conditions joined as a balanced tree: SQLite takes a thousand levels, and a statement may hold more parts."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_joined(word, parts[:middle])} {word} {_joined(word, parts[middle:])})"
