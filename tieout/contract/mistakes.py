"""What is wrong with a contract although every single key is well-formed: keys that contradict each other or name what does not exist.

Works on the plain values of the files, so that these mistakes are told together with those of the shape, in one go.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

from tieout.compared_field import FACTOR_TYPE, does_not_fit
from tieout.contract.model import NUMBER_KINDS, STOPPED, TEXT_KINDS
from tieout.contract.source import Path

NUMBER_LENGTH = 20
"""Characters of a D365 order number or customer account (`SalesIdBase`, `CustAccount`)."""
SALESFORCE_ID_LENGTH = 18

Mistake = tuple[str, Path, str]
"""File, path inside it, sentence."""


def mistakes_in(files: Mapping[str, Any]) -> Iterator[Mistake]:
    """All mistakes of all files. `files`: file name → its values, of whatever shape the author left them; `None` where YAML could not be read."""
    contracts = {name: data for name, data in files.items() if isinstance(data, dict)}
    yield from _entities_told_twice(contracts)
    yield from _tables_told_twice(contracts)
    maps = {
        (str(data.get("entity")), name): each
        for data in contracts.values()
        for name, each in _group(data, "values").items()
    }
    fields = {str(data.get("entity")): _group(data, "fields") for data in contracts.values()}
    for name, data in contracts.items():
        for path, text in _of_contract(data, maps, fields):
            # A file that cannot be read defines nothing, and its own mistake is told already.
            if None not in files.values() or path[-1] not in ("values", "salesforce_from_product"):
                yield name, path, text


_TOLERANCES = {
    "money": ("absolute", "percent"),
    "quantity": ("absolute", "percent"),
    "date": ("days",),
    "instant": ("seconds",),
}
"""Compare kind → what a tolerance can be given in."""

_Found = Iterator[tuple[Path, str]]
_Maps = Mapping[tuple[str, str], Any]


def _group(data: Any, *keys: str) -> dict[str, Any]:
    """The group of keys at that place, or an empty one where the author wrote something else."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _entities_told_twice(contracts: Mapping[str, dict[str, Any]]) -> Iterator[Mistake]:
    first: dict[str, str] = {}
    for name, data in contracts.items():
        entity = str(data.get("entity"))
        if entity in first:
            yield (
                name,
                ("entity",),
                f"entity `{entity}` is already described in {first[entity]}. Keep one of the two files.",
            )
        first.setdefault(entity, name)


def _tables_told_twice(contracts: Mapping[str, dict[str, Any]]) -> Iterator[Mistake]:
    first: dict[tuple[str, str], str] = {}
    for name, data in contracts.items():
        for above in ((), ("lines",)):
            for system in ("salesforce", "d365"):
                table = _group(data, *above, system).get("table")
                if not isinstance(table, str):
                    continue
                if (system, table) in first:
                    yield (
                        name,
                        (*above, system, "table"),
                        f"table `{table}` is already made by {first[system, table]}. Choose another name.",
                    )
                first.setdefault((system, table), name)


def _of_contract(data: dict[str, Any], maps: _Maps, fields: Mapping[str, dict[str, Any]]) -> _Found:
    entity = str(data.get("entity"))
    lines = _group(data, "lines")
    for above, part in (((), data), (("lines",), lines)):
        for name, field in _group(part, "fields").items():
            if isinstance(field, dict):
                for key, text in _of_field(field, entity, maps, _group(lines, "fields"), fields):
                    yield (*above, "fields", name, *key), text
                for key, text in _of_neighbours(field, part):
                    yield (*above, "fields", name, *key), text
        yield from _of_number(part, above)
        yield from _columns_told_twice(part, above)
    yield from _of_policies(data)
    for name, value in _group(data, "scope").items():
        yield from _of_scope(name, value, _group(data, "fields").get(name), entity, maps)
    yield from _of_lines(lines)
    for name, each in _group(data, "values").items():
        if isinstance(each, dict) and not any(each.get(key) for key in ("salesforce", "d365", "known")):
            yield ("values", name), f"value map `{name}` is empty. Give it `known`, `salesforce` or `d365`."


def _of_field(
    field: dict[str, Any], entity: str, maps: _Maps, line_fields: dict[str, Any], fields: Mapping[str, dict[str, Any]]
) -> _Found:
    yield from _of_places(field, line_fields, fields)
    yield from _of_kind(field)
    yield from _of_writing(field)
    yield from _of_spellings(field, entity, maps)
    values = field.get("values")
    if isinstance(values, str) and _map_named(values, entity, maps) is None:
        known = [name if owner == entity else f"{owner}.{name}" for owner, name in maps]
        yield ("values",), f"there is no value map `{values}`. {_nearest(values, known)}"


def _of_places(field: dict[str, Any], line_fields: dict[str, Any], fields: Mapping[str, dict[str, Any]]) -> _Found:
    if not any(field.get(key) for key in ("salesforce", "d365", "salesforce_from_product")):
        yield (), "the field is stored nowhere. Name its `salesforce` or its `d365` column."
    total = _group(field, "d365_from_lines").get("sum")
    if isinstance(total, str) and total not in line_fields:
        yield ("d365_from_lines", "sum"), f"the lines have no field `{total}`. {_nearest(total, list(line_fields))}"
    if total is not None and field.get("d365"):
        yield ("d365_from_lines",), "the value comes from `d365` and from the lines. Remove one of the two."
    product = field.get("salesforce_from_product")
    if isinstance(product, str) and product not in fields.get("product", {}):
        yield (
            ("salesforce_from_product",),
            f"products have no field `{product}`. {_nearest(product, list(fields.get('product', {})))}",
        )
    if isinstance(field.get("d365"), list) and len(field["d365"]) > 1 and not field.get("values"):
        yield ("d365",), "two D365 columns make one value only through a value map. Add `values`, or name one column."


def _of_kind(field: dict[str, Any]) -> _Found:
    compare = field.get("compare")
    is_number = compare in NUMBER_KINDS or field.get("type") in ("decimal", "integer")
    tolerance = field.get("tolerance")
    if tolerance is not None and isinstance(compare, str) and compare not in _TOLERANCES:
        yield (
            ("tolerance",),
            f"`tolerance` does not fit `compare: {compare}`. Remove it, or compare as `money` or `quantity`.",
        )
    if isinstance(tolerance, dict):
        allowed = _TOLERANCES.get(str(compare), ("absolute", "percent", "days", "seconds"))
        for key, value in tolerance.items():
            if key in ("absolute", "percent", "days", "seconds") and key not in allowed:
                yield (
                    ("tolerance", key),
                    f"a tolerance of `{key}` does not fit `compare: {compare}`. Use {' or '.join(f'`{each}`' for each in allowed)}.",
                )
            if isinstance(value, str) and value.startswith("-"):
                yield ("tolerance", key), f"a tolerance is a distance and cannot be negative: {value}. Remove the sign."
        if not tolerance:
            yield (
                ("tolerance",),
                f"the tolerance says nothing. Give {' or '.join(f'`{each}`' for each in allowed)}, or remove it.",
            )
    for key, kind in (
        ("legal_form", "text"),
        ("default_country", "phone"),
        ("conversion", "quantity"),
        ("exchange", "money"),
    ):
        if field.get(key) not in (None, "compared") and isinstance(compare, str) and compare != kind:
            yield (key,), f"`{key}` does not fit `compare: {compare}`. Remove it, or compare as `{kind}`."
    if field.get("max_length") is not None and (is_number or compare in ("date", "instant")):
        yield (
            ("max_length",),
            f"`max_length` does not fit `compare: {compare}`. Remove it; numbers and dates have no length.",
        )
    if field.get("values") and isinstance(compare, str) and compare not in TEXT_KINDS | {"none"}:
        yield ("values",), f"a value map does not fit `compare: {compare}`. Remove it, or compare as `code`."
    for key in ("positive", "empty_is"):
        if field.get(key) and compare not in NUMBER_KINDS:
            yield (key,), f"`{key}` does not fit `compare: {compare}`. Remove it, or compare as `money` or `quantity`."
    kinds_of_type = {"decimal": NUMBER_KINDS, "date": {"date"}, "instant": {"instant"}}
    stored = field.get("type")
    if (
        stored is not None
        and compare in {"money", "quantity", "date", "instant"}
        and compare not in kinds_of_type.get(stored, set())
    ):
        yield ("type",), f"`type: {stored}` does not fit `compare: {compare}`. Remove it; `compare` tells the type."
    if (compare == "reference") != (field.get("references") is not None):
        yield ("compare",), "`compare: reference` and `references` go together. Add the other one, or remove this one."


def _of_neighbours(field: dict[str, Any], part: dict[str, Any]) -> _Found:
    """What a field names of the same record: its unit, its currency and the day of its rate, the country of its phone number."""
    beside = _group(part, "fields")
    day, extra = _group(field, "exchange").get("date"), _group(part, "salesforce", "extra")
    dates = [name for name, kind in extra.items() if kind == "date"]
    dates += [
        str(each["salesforce"])
        for each in beside.values()
        if isinstance(each, dict) and each.get("compare") == "date" and each.get("salesforce")
    ]
    if isinstance(day, str) and day not in dates:
        yield (
            ("exchange", "date"),
            f"Salesforce has no day in `{day}`, as far as this contract reads. {_nearest(day, dates)}",
        )
    for key, inner in (("conversion", "unit"), ("exchange", "currency")):
        name = _group(field, key).get(inner)
        if not isinstance(name, str):
            continue
        if name not in beside:
            yield (key, inner), f"there is no field `{name}` beside it. {_nearest(name, list(beside))}"
        elif _group(beside, name).get("compare") == "none":
            yield (key, inner), f"`{name}` is not compared, so its value is not at hand. Compare it as `code`."
    for unit, factor in _group(field, "conversion", "factors").items():
        if isinstance(factor, str) and factor.lstrip("-+0.") == "":
            yield ("conversion", "factors", unit), "a factor of 0 makes every quantity equal. Correct it."
        elif isinstance(factor, str) and factor.startswith("-"):
            yield ("conversion", "factors", unit), f"a factor cannot be negative: {factor}. Remove the sign."
        elif isinstance(factor, str) and (too_long := _too_long(factor)):
            yield (
                ("conversion", "factors", unit),
                f"the factor {too_long}. Choose a smaller or larger unit as the one with the factor 1.",
            )
    country = field.get("default_country")
    if isinstance(country, str) and not (len(country) == 2 and country.isupper()):
        if country not in beside:
            yield (
                ("default_country",),
                f"`{country}` is neither two capital letters nor a field beside it. {_nearest(country, list(beside))}",
            )
        elif not (_group(beside, country).get("salesforce") and _group(beside, country).get("d365")):
            yield (
                ("default_country",),
                f"`{country}` is not stored on both sides. Name a field that is, or a country: US.",
            )


def _too_long(factor: str) -> str | None:
    try:
        return does_not_fit(Decimal(factor), FACTOR_TYPE)
    except InvalidOperation:
        return None  # it is no number, which is told with the shape of the file


def _of_spellings(field: dict[str, Any], entity: str, maps: _Maps) -> _Found:
    """Two columns are looked up together, so each spelling needs two parts."""
    columns, values = field.get("d365"), field.get("values")
    found = _map_named(values, entity, maps) if isinstance(values, str) else None
    if found is None or not isinstance(columns, list) or len(columns) < 2:
        return
    for spelling in _group(found, "d365"):
        if len(spelling.split("/")) != len(columns):
            pattern = "/".join(map(str, columns))
            yield (
                ("values",),
                f"`{spelling}` in the value map `{values}` does not name {pattern}. Write both parts, with * for any.",
            )


def _of_writing(field: dict[str, Any]) -> _Found:
    if field.get("on_difference") != "write":
        return
    if field.get("owner") == "d365" and not field.get("salesforce"):
        yield (
            ("on_difference",),
            "D365 owns the field and Salesforce has no column to write. Add `salesforce`, or set `on_difference: report`.",
        )
    if field.get("owner") == "salesforce" and not field.get("d365"):
        yield (
            ("on_difference",),
            "Salesforce owns the field and D365 has no column to write. Add `d365`, or set `on_difference: report`.",
        )
    if field.get("compare") == "none":
        yield (
            ("on_difference",),
            "a field that is not compared never differs, so nothing would be written. Choose how to compare it.",
        )


def _of_number(part: dict[str, Any], above: Path) -> _Found:
    number, place = _group(part, "create", "number"), (*above, "create", "number")
    if number.get("given_by") == "d365":
        yield from _of_number_from_d365(part, number, place)
        return
    prefix = number.get("prefix")
    is_ours = number.get("given_by", "tieout") == "tieout"
    if is_ours and prefix is None and isinstance(_group(part, "create").get("number"), dict):
        yield (
            place,
            "`prefix` is missing in `create.number`. Add it, or let D365 give the number: `given_by: d365`.",
        )
    if is_ours and "settle_s" in number:
        yield (
            (*place, "settle_s"),
            "`settle_s` is for numbers that D365 gives; ours are refused by D365 when they come twice. "
            "Remove it, or set `given_by: d365`.",
        )
    if isinstance(prefix, str) and len(prefix) + SALESFORCE_ID_LENGTH > NUMBER_LENGTH:
        total = len(prefix) + SALESFORCE_ID_LENGTH
        yield (
            (*above, "create", "number", "prefix"),
            f"prefix `{prefix}` and the {SALESFORCE_ID_LENGTH} characters of an id make {total}; D365 takes {NUMBER_LENGTH}. "
            f"Use at most {NUMBER_LENGTH - SALESFORCE_ID_LENGTH} characters.",
        )


def _of_number_from_d365(part: dict[str, Any], number: dict[str, Any], place: Path) -> _Found:
    for key in ("prefix", "from"):
        if key in number:
            yield (
                (*place, key),
                f"`{key}` does not fit `given_by: d365`, whose number sequence gives the number. "
                "Remove it, or set `given_by: tieout`.",
            )
    if not _group(part, "link").get("reference"):
        yield (
            (*place, "given_by"),
            "a number that D365 gives says nothing about its origin, so a lost answer is looked up by the reference. "
            "Add `link.reference`, or set `given_by: tieout`.",
        )
    if STOPPED not in _group(part, "d365", "extra"):
        yield (
            (*place, "given_by"),
            f"an order that D365 numbers is stopped until its lines are there, which has to be read. Add `{STOPPED}: text` to `d365.extra`.",
        )
    if not _group(part, "lines"):
        yield (
            (*place, "given_by"),
            "`given_by: d365` is for orders, and these records have no lines. Set `given_by: tieout`.",
        )


def _of_policies(data: dict[str, Any]) -> _Found:
    """The policies speak of records that Tieout creates, header and lines; of a lost one only where the contract tells won from lost."""
    if data.get("after_delivery") is None:
        return
    if _group(data, "create").get("number") is None:
        yield (
            ("after_delivery",),
            "Tieout creates no such record in D365, so nothing changes after delivery. Add `create.number`, or remove `after_delivery`.",
        )
    elif not _group(data, "lines"):
        yield (
            ("after_delivery",),
            "records without lines follow Salesforce field by field. Remove `after_delivery`, and set `on_difference: write` on the fields.",
        )
    if _group(data, "after_delivery").get("lost") != "stop":
        return
    if not _group(data, "scope"):
        yield ("after_delivery", "lost"), "without a scope nothing is ever lost. Add `scope`, or set `lost: report`."
    if STOPPED not in _group(data, "d365", "extra"):
        yield (
            ("after_delivery", "lost"),
            f"`lost: stop` has to know which records are stopped already. Add `{STOPPED}: text` to `d365.extra`.",
        )


def _columns_told_twice(part: dict[str, Any], above: Path) -> _Found:
    """A column in `extra` that a field already reads would be given two types; two fields that own one column would fight over it."""
    for system in ("salesforce", "d365"):
        read_by: dict[str, str] = {}
        for name, field in _group(part, "fields").items():
            stored = field.get(system) if isinstance(field, dict) else None
            for column in stored if isinstance(stored, list) else [stored] if isinstance(stored, str) else []:
                if column in read_by:
                    yield (
                        (*above, "fields", name, system),
                        f"`{column}` is already the field `{read_by[column]}`. Keep one of the two.",
                    )
                read_by.setdefault(column, name)
        for column in _group(part, system, "extra"):
            if column in read_by:
                yield (
                    (*above, system, "extra", column),
                    f"`{column}` is already read by the field `{read_by[column]}`. Remove it from `extra`.",
                )


def _of_scope(name: str, value: Any, field: Any, entity: str, maps: _Maps) -> _Found:
    if not isinstance(field, dict):
        yield ("scope", name), f"the scope names `{name}`, which is no field. Use a field that has a value map."
        return
    values = field.get("values")
    found = _map_named(values, entity, maps) if isinstance(values, str) else None
    if values is None or not field.get("salesforce"):
        yield ("scope", name), f"`{name}` cannot bound the scope. Use a field with a Salesforce column and a value map."
    elif found is not None and value not in {*_group(found, "salesforce").values(), *(found.get("known") or [])}:
        common = sorted({*map(str, _group(found, "salesforce").values()), *map(str, found.get("known") or [])})
        yield ("scope", name), f"no Salesforce value becomes `{value}`. Use one of: {', '.join(common)}."


def _of_lines(lines: dict[str, Any]) -> _Found:
    if not lines:
        return
    match_on, fields = lines.get("match_on"), _group(lines, "fields")
    if isinstance(match_on, str) and match_on not in fields:
        yield ("lines", "match_on"), f"the lines have no field `{match_on}`. {_nearest(match_on, list(fields))}"
    for system in ("salesforce", "d365"):
        if _group(lines, system) and not _group(lines, system).get("parent"):
            yield ("lines", system), "lines need `parent`, the column that names their header. Add it."


def _map_named(values: str, entity: str, maps: _Maps) -> Any:
    owner, _, name = values.rpartition(".")
    found = maps.get((owner or entity, name))
    return found if isinstance(found, dict) else None


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"There are: {', '.join(known)}." if known else "There is none yet: add it."
