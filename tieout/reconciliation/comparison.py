"""The comparison of linked pairs, in two phases: a narrow join finds the suspects, a second scan explains them.

Works on `<name>_pair(salesforce_key, d365_key, is_primary)` and the views `<name>_salesforce` and `<name>_d365`. The narrow join carries the
key, one hash of the fields where equal means equal, and the fields with a tolerance; only suspects are joined with all their columns.
"""

from collections.abc import Iterator, Sequence

from tieout.canonical import MONEY_TYPE
from tieout.compared_field import (
    ComparedField,
    as_is,
    brought_together,
    differs,
    differs_as_stored,
    differs_in_blanks,
    is_converted,
    why_not_brought_together,
)
from tieout.sql import literal, quoted


def compared_statement(name: str, fields: Sequence[ComparedField]) -> str:
    """Make `<name>_compared`: every pair with `is_suspect`, `is_noisy`, and `close_<field>` for each number and `skipped_<field>`.

    `is_noisy`: some typed text is stored differently on the two sides. `close_`: the numbers differ, within the tolerance.
    `skipped_`: the field was not compared, because its owner has no value.
    """
    columns = [
        "pair.salesforce_key",
        "pair.d365_key",
        f"{_is_suspect(fields)} AS is_suspect",
        f"{_is_noisy(fields)} AS is_noisy",
    ]
    columns += [
        f"{_is_close(field)} AS {quoted(f'close_{field.name}')}" for field in fields if field.tolerance is not None
    ]
    columns += [f"{_is_skipped(field)} AS {quoted(f'skipped_{field.name}')}" for field in fields if is_skippable(field)]
    listed = ",\n    ".join(columns)
    return f"CREATE OR REPLACE TEMP TABLE {name}_compared AS\nSELECT {listed}\n{_joined(f'{name}_pair', name)}"


def found_statement(name: str, fields: Sequence[ComparedField]) -> str:
    """Make `<name>_found`: one row for each field of a suspect that differs, as compared or (typed text) as stored."""
    told = ",\n        ".join(_told(field) for field in fields)
    return f"""CREATE OR REPLACE TEMP TABLE {name}_found AS
WITH suspect AS (
    SELECT pair.*
    FROM {name}_pair AS pair
    SEMI JOIN {name}_compared AS compared
        ON compared.salesforce_key = pair.salesforce_key AND compared.d365_key = pair.d365_key
        AND (compared.is_suspect OR compared.is_noisy)
),
told AS (
    SELECT pair.salesforce_key, pair.d365_key, unnest([
        {told}
    ]) AS told
    {_joined("suspect", name, indent="    ")}
)
SELECT salesforce_key, d365_key, told.field, told.owner, told.on_difference, told.salesforce_stored, told.d365_stored,
    told.salesforce_compared, told.d365_compared, CASE WHEN told.differs THEN 'differs' ELSE 'case_or_blanks' END AS kind,
    told.is_blanks AND NOT told.differs AS is_blanks, told.can_be_damaged, NULL::VARCHAR AS damaged_side, told.amount
FROM told
WHERE told.differs OR told.is_noisy"""


def unconverted_statements(name: str, fields: Sequence[ComparedField]) -> Iterator[str]:
    """Make `<name>_unconverted(salesforce_key, d365_key, field, note)`, where a field is converted: why a pair of values could not be."""
    converted = [field for field in fields if is_converted(field)]
    if not converted:
        return
    told = "\n    UNION ALL ".join(
        f"SELECT pair.salesforce_key, pair.d365_key, {literal(field.shown_as)} AS field, {why_not_brought_together(field)} AS note\n"
        f"    {_joined(f'{name}_pair', name, indent='    ')}"
        for field in converted
    )
    yield f"CREATE OR REPLACE TEMP TABLE {name}_unconverted AS\nSELECT * FROM (\n    {told}\n)\nWHERE note IS NOT NULL"


def is_skippable(field: ComparedField) -> bool:
    """Whether there are pairs in which the field is not compared."""
    return field.skips_empty or field.primary_only


def as_text(value: str, field: ComparedField) -> str:
    """The value as the report shows it; numbers without the zeros of their stored form."""
    if not field.is_number:
        return f"{value}::VARCHAR"
    return f"CASE WHEN contains({value}::VARCHAR, '.') THEN rtrim(rtrim({value}::VARCHAR, '0'), '.') ELSE {value}::VARCHAR END"


def _joined(pairs: str, name: str, indent: str = "") -> str:
    return f"""FROM {pairs} AS pair
{indent}JOIN {name}_salesforce AS sf ON sf._key = pair.salesforce_key
{indent}JOIN {name}_d365 AS d365 ON d365._key = pair.d365_key"""


def _is_suspect(fields: Sequence[ComparedField]) -> str:
    tests = [differs(field) for field in fields if not field.is_hashed]
    if any(field.is_hashed for field in fields):
        tests.insert(0, "sf._compare_hash <> d365._compare_hash")
    return "(" + "\n        OR ".join(tests) + ")"


def _is_noisy(fields: Sequence[ComparedField]) -> str:
    texts = [field for field in fields if field.is_free_text]
    if not texts:
        return "false"
    sf, d365 = (", ".join(f"{side}.{field.stored}" for field in texts) for side in ("sf", "d365"))
    return f"hash({sf}) <> hash({d365})"


def _is_close(field: ComparedField) -> str:
    return f"(coalesce(sf.{field.compared} <> d365.{field.compared}, false) AND NOT {differs(field)})"


def _is_skipped(field: ComparedField) -> str:
    tests = []
    if field.skips_empty:
        tests.append(f"{'sf' if field.owner == 'salesforce' else 'd365'}.{field.compared} IS NULL")
    if field.primary_only:
        tests.append("NOT pair.is_primary")
    return "(" + " OR ".join(tests) + ")"


def _told(field: ComparedField) -> str:
    sf, d365 = f"sf.{field.stored}", f"d365.{field.stored}"
    same = f"sf.{field.compared} IS NOT DISTINCT FROM d365.{field.compared}"
    noisy = f"({differs_as_stored(field)} AND {same})" if field.is_free_text else "false"
    blanks = differs_in_blanks(field) if field.is_free_text else "false"
    of_salesforce, of_d365 = brought_together(as_is(field) if field.exchange is None else field)
    amount = f"abs(coalesce({of_salesforce}, 0) - coalesce({of_d365}, 0))::{MONEY_TYPE}"
    members = {
        "field": literal(field.shown_as),
        "owner": literal(field.owner),
        "on_difference": literal(field.on_difference),
        "salesforce_stored": as_text(sf, field),
        "d365_stored": as_text(d365, field),
        "salesforce_compared": as_text(f"sf.{field.compared}", field),
        "d365_compared": as_text(f"d365.{field.compared}", field),
        "differs": differs(field),
        "is_noisy": noisy,
        "is_blanks": blanks,
        "can_be_damaged": literal(field.can_be_damaged),
        "amount": amount if field.is_money else f"NULL::{MONEY_TYPE}",
    }
    return "{" + ", ".join(f"{literal(name)}: {value}" for name, value in members.items()) + "}"
