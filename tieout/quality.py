"""The rules that a row must keep before it is used, made from the contract, and the SQL that finds the rows that break them.

A rule of severity `error` sends the row to quarantine; `warn` only counts it. A rule that matters for the delivery alone judges only the
records in the contract's scope: an opportunity that is still being negotiated may lack its amount. What cannot be read at all is
wrong in any record. Lines are judged whatever their header is, because a header can be won without any of its lines being read again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tieout.canonical import canonical_column, country, is_unknown, shown
from tieout.contract.model import Severity
from tieout.contract.tables import Column, Field, Table
from tieout.damaged_text import DAMAGE_PATTERN
from tieout.sql import literal, quoted

AS_RECEIVED = "as_received"
"""Struct column that holds the staged text of a row beside its typed values."""

KEY_UNIQUE = "key_unique"
KEY_MISSING = "key_missing"
PRODUCT_UNKNOWN = "product_unknown"

_MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: TRUE of `predicate` means that the row breaks it.

    `predicate`, `value` and `reason` are SQL over the columns of `landing.typed_sql`; `reason` gives the sentence for one row. `promise` says
    what holds of every row that keeps the rule.
    """

    name: str
    field: str | None
    severity: Severity
    predicate: str
    value: str
    reason: str
    promise: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a quality suite expects of one column of the frame of counts: `column` between 0 and `max_value`."""

    column: str
    severity: Severity
    max_value: int
    description: str


def rules_of(table: Table) -> tuple[Rule, ...]:
    """All rules of a table, in the order in which reports show them. Names are stable: `<field>_<what>`."""
    return tuple(_rules_of(table))


def counted_rules(table: Table) -> dict[str, Severity]:
    """The rules that have a column in the frame of counts, with their severity.

    Besides those of `rules_of`: `key_unique`, which is found while landing, and `product_unknown`, which needs the products beside the lines.
    """
    counted: dict[str, Severity] = {rule.name: rule.severity for rule in rules_of(table)}
    counted[KEY_UNIQUE] = "warn"
    if _names_products(table):
        counted[PRODUCT_UNKNOWN] = "warn"
    return counted


def expectation_plan(table: Table) -> tuple[Expectation, ...]:
    """The expectations over the one-row frame of counts (`Landed.counts`), as plain data for whichever tool judges them."""
    promises = {rule.name: rule.promise for rule in rules_of(table)}
    promises[KEY_UNIQUE] = f"No two rows of one read have the same {' and '.join(table.key)}"
    promises[PRODUCT_UNKNOWN] = "The product is among those that were read"
    return tuple(
        Expectation(
            column=name,
            severity=severity,
            max_value=0,
            description=promises[name],
        )
        for name, severity in counted_rules(table).items()
    )


def violations_sql(table: Table, relation: str, *, products: str | None = None) -> str:
    """SELECT with one row for each rule that a row of `relation` breaks: _key, parent_key, rule, field, severity, value, reason."""
    rules = [*rules_of(table), *([_product_unknown(table, products)] if products and _names_products(table) else [])]
    found = ",\n        ".join(
        f"CASE WHEN {rule.predicate} THEN {{'rule': {literal(rule.name)}, 'field': {literal(rule.field)}, "
        f"'severity': {literal(rule.severity)}, 'value': left(({rule.value})::VARCHAR, {_MAX_SHOWN}), 'reason': {rule.reason}}} END"
        for rule in rules
    )
    return f"""SELECT _key, parent_key, found.rule, found.field::VARCHAR AS field, found.severity, found.value, found.reason
FROM (
    SELECT coalesce(_key, 'without key ' || hash({AS_RECEIVED})) AS _key, {"_parent_key" if table.parent else "NULL::VARCHAR"} AS parent_key, unnest([
        {found}
    ]) AS found
    FROM {relation}
)
WHERE found IS NOT NULL"""


def in_scope_sql(table: Table) -> str:
    """TRUE for the rows that take part: not deleted, and inside the contract's scope (Salesforce headers only)."""
    tests = [_not_deleted(table)]
    if table.system == "salesforce" and not table.is_lines:
        for name, wanted in table.contract.scope.items():
            tests.append(f"{quoted(canonical_column(table.contract.field(name)))} = {literal(wanted)}")
    return " AND ".join(tests)


def _not_deleted(table: Table) -> str:
    return (
        f"{quoted('IsDeleted')} IS NOT TRUE" if any(column.name == "IsDeleted" for column in table.columns) else "TRUE"
    )


def _rules_of(table: Table) -> Iterator[Rule]:
    yield _key_missing(table)
    for column in table.columns:
        if column.type != "text":
            yield _unreadable(table, column)
    scope = in_scope_sql(table)
    for field in table.fields:
        yield from _rules_of_field(table, field, scope)
    if any(column.name == "HasOpportunityLineItem" for column in table.columns):
        yield _lines_missing(table, scope)


def _rules_of_field(table: Table, field: Field, scope: str) -> Iterator[Rule]:
    columns = [quoted(name) for name in field.sources(table.system)]
    value, label = shown(columns), "/".join(field.sources(table.system))
    owned = field.owner == table.system
    if field.required and table.system == "salesforce":
        yield _required(table, field, scope)
    if field.positive:
        yield Rule(
            f"{field.name}_not_positive",
            field.name,
            "error" if owned else "warn",
            f"({scope}) AND {columns[0]} <= 0",
            _plain(value),
            f"{literal(f'{label} is ')} || {_plain(value)} || {literal(f'; it must be more than 0. Correct it in {_named(table)}.')}",
            f"{label} is more than 0",
        )
    if field.max_length is not None and owned:
        other = "D365" if table.system == "salesforce" else "Salesforce"
        told = f" characters; {other} takes {field.max_length}. Shorten it in {_named(table)}."
        yield Rule(
            f"{field.name}_too_long",
            field.name,
            "error",
            f"({scope}) AND length({value}) > {field.max_length}",
            value,
            f"{literal(f'{label} has ')} || length({value}) || {literal(told)}",
            f"{label} has at most {field.max_length} characters, which is what {other} takes",
        )
    yield from _unknown_value(table, field, scope)
    if field.compare == "text":
        yield from _doubtful_text(table, field, value, label)


def _required(table: Table, field: Field, scope: str) -> Rule:
    column = quoted(field.sources(table.system)[0])
    missing = f"{column} IS NULL AND {_received(table, field)} IS NULL"
    # A record without the field that bounds the scope is in no scope, so there the rule holds for all.
    bounded = _not_deleted(table) if field.name in table.contract.scope and not table.is_lines else scope
    reason = literal(f"{field.salesforce} is empty; the {_thing(table)} needs it. Fill it in in Salesforce.")
    if any(each.name == "Product2Id" for each in table.columns):
        without = literal(
            "the line has no product (Product2Id is empty), so D365 cannot know what to deliver. Choose a product in Salesforce."
        )
        reason = f"CASE WHEN {literal(field.name)} = 'product' AND {quoted('Product2Id')} IS NULL THEN {without} ELSE {reason} END"
    promise = f"{field.salesforce} is filled in"
    return Rule(f"{field.name}_required", field.name, "error", f"({bounded}) AND {missing}", "NULL", reason, promise)


def _unknown_value(table: Table, field: Field, scope: str) -> Iterator[Rule]:
    columns = [quoted(name) for name in field.sources(table.system)]
    value, label = shown(columns), "/".join(field.sources(table.system))
    if field.values is not None:
        unknown = is_unknown(field.values, table.system, columns)
        advice = f" is not in the value map `{field.values.name}` of {table.contract.file}. Correct it in {_named(table)}, or add it to the map."
        promise = f"{label} is in the value map `{field.values.name}` of {table.contract.file}"
    elif field.compare == "country":
        unknown = f"({value} IS NOT NULL AND {country(value)} IS NULL)"
        advice = f" is no country that ISO 3166 knows. Correct it in {_named(table)}."
        promise = f"{label} is a country that ISO 3166 knows"
    else:
        return
    # The side that does not own the value is told, not stopped: it is written or reported from the other side.
    severity: Severity = field.on_unknown if field.owner == table.system or field.required else "warn"
    # The scope itself is read from a value map, so such a field is judged in every record.
    everywhere = field.name in table.contract.scope and not table.is_lines
    yield Rule(
        f"{field.name}_unknown_value",
        field.name,
        severity,
        unknown if everywhere else f"({scope}) AND {unknown}",
        value,
        f"{literal(f'{label} ')} || {_cited(value)} || {literal(advice)}",
        promise,
    )


def _doubtful_text(table: Table, field: Field, value: str, label: str) -> Iterator[Rule]:
    yield Rule(
        f"{field.name}_outer_blanks",
        field.name,
        "warn",
        f"(starts_with({value}, ' ') OR ends_with({value}, ' '))",
        value,
        literal(f"{label} begins or ends with a blank. It is compared without; trim it in {_named(table)}."),
        f"{label} has no blank at its beginning or end",
    )
    yield Rule(
        f"{field.name}_damaged_characters",
        field.name,
        "warn",
        # Only texts beyond ASCII can be damaged, and they are few: counting bytes spares the others the pattern.
        f"(strlen({value}) > length({value}) AND regexp_matches({value}, {literal(DAMAGE_PATTERN)}))",
        value,
        literal(f"{label} looks damaged: accents were read in the wrong code page. Restore it in {_named(table)}."),
        f"{label} has no accents that were read in the wrong code page",
    )


def _key_missing(table: Table) -> Rule:
    names = " and ".join(table.key)
    return Rule(
        KEY_MISSING,
        None,
        "error",
        "_key IS NULL",
        "NULL",
        literal(f"the row has no {names}, so it cannot be told from others. Ask who looks after {_named(table)}."),
        f"The row has its key: {names}",
    )


def _unreadable(table: Table, column: Column) -> Rule:
    """Text is there, but it is not what the column's type asks for."""
    kinds = {
        "decimal": ("number", "a number (with at most 22 digits before the point)"),
        "integer": ("number", "a whole number"),
        "boolean": ("boolean", "true or false"),
        "date": ("date", "a date"),
        "instant": ("instant", "a point in time with a zone"),
    }
    short, long = kinds[column.type]
    field = next((each.name for each in table.fields if column.name in each.sources(table.system)), None)
    received = f"{AS_RECEIVED}.{quoted(column.name)}"
    present = f"trim({received}) <> ''"
    if table.system == "d365" and column.type in ("date", "instant"):
        present += f" AND NOT starts_with({received}, '1900-01-01')"
    return Rule(
        f"{field or _rule_subject(table, column)}_not_{_article(short)}{short}",
        field,
        "error",
        f"({quoted(column.name)} IS NULL AND {present})",
        received,
        f"{literal(f'{column.name} ')} || {_cited(received)} || {literal(f' is not {long}. Correct it in {_named(table)}.')}",
        f"{column.name} is {long}",
    )


def _lines_missing(table: Table, scope: str) -> Rule:
    return Rule(
        "lines_missing",
        None,
        "error",
        f"({scope}) AND {quoted('HasOpportunityLineItem')} IS FALSE",
        "NULL",
        literal(
            f"the {table.source.lower()} has no lines, and D365 delivers nothing on an order without lines. Add its products in Salesforce."
        ),
        f"{table.source} has lines",
    )


def _names_products(table: Table) -> bool:
    return table.system == "salesforce" and table.is_lines and any(field.name == "product" for field in table.fields)


def _product_unknown(table: Table, products: str) -> Rule:
    """Only counted: the product may have been made after the products were read."""
    column = next((quoted(field.sources(table.system)[0]) for field in table.fields if field.name == "product"), "NULL")
    return Rule(
        PRODUCT_UNKNOWN,
        "product",
        "warn",
        f'({column} IS NOT NULL AND upper(trim({column})) NOT IN (SELECT upper(trim("ProductCode")) FROM {products} WHERE "ProductCode" IS NOT NULL))',
        column,
        f"{literal('product ')} || {_cited(column)} || {literal(' is not among the products that were read.')}",
        "The product is among those that were read",
    )


def _received(table: Table, field: Field) -> str:
    """The text of a number or date as it came: one that could not be read is told by its own rule, it is not missing."""
    received = f"{AS_RECEIVED}.{quoted(field.sources(table.system)[0])}"
    return received if table.column(field.sources(table.system)[0]).type != "text" else "NULL"


def _cited(value: str) -> str:
    return f"'\"' || left({value}, {_MAX_SHOWN}) || '\"'"


def _plain(value: str) -> str:
    """A decimal without the zeros of its stored form."""
    return f"rtrim(rtrim(({value})::VARCHAR, '0'), '.')"


def _article(word: str) -> str:
    return "an_" if word[0] in "aeiou" else "a_"


def _rule_subject(table: Table, column: Column) -> str:
    """The name of a column that is no field, as rules write names: `CloseDate` → `close_date`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name.removesuffix("__c")).replace("__", "_").lower()
    # D365 lines have a LineNumber beside the field `line_number`, which is the customer's.
    return f"{name}_column" if any(field.name == name for field in table.fields) else name


def _thing(table: Table) -> str:
    return table.contract.entity.replace("_", " ") + (" line" if table.is_lines else "")


def _named(table: Table) -> str:
    return "Salesforce" if table.system == "salesforce" else "D365"
