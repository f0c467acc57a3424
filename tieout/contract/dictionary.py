"""The data dictionary: every contract as a page for people, in Markdown."""

from collections.abc import Iterable, Mapping

from tieout.contract.model import System
from tieout.contract.tables import AfterDelivery, Contract, Contracts, Create, Field, Link, Side, ValueMap

_TITLES: Mapping[System, str] = {"salesforce": "Salesforce", "d365": "D365"}

_INTRODUCTION = """# Data dictionary

Made from `contracts/` by `make dictionary`; change it there.

*Owner*: the system that may change the value. *Where it differs*: `write` brings the other side to the owner's value, `report` only shows the
difference. A new D365 record gets what Salesforce owns, and what D365 owns only where the rules say so. The two values are compared in canonical form: [how-it-works.md](how-it-works.md#verdicts) says what that is.
"""

_HEAD = "| Field | Salesforce `{}` | D365 `{}` | Owner | Compared as | Where it differs | Rules |\n|---|---|---|---|---|---|---|"


def data_dictionary(contracts: Contracts) -> str:
    """The fields of every contract: what they are called on each side, who owns them, how they are compared, what new records get."""
    parts = [_INTRODUCTION]
    for contract in contracts.values():
        parts.append(_headers(contract))
        if contract.lines is not None:
            parts.append(_lines(contract))
    return "\n".join(parts)


def _headers(contract: Contract) -> str:
    scope = " and ".join(f"{name} is {_code(value)}" for name, value in contract.scope.items())
    part = f"Records that take part: {scope}." if scope else ""
    return _section(
        _words(contract.entity),
        [f"From `{contract.file}`.", part],
        contract.fields,
        contract.salesforce,
        contract.d365,
        [
            *_linking(contract.link),
            *_making(contract.create),
            *(_changing(contract.after_delivery) if contract.lines is not None else ()),
            *_value_maps(contract.values.values()),
        ],
    )


def _lines(contract: Contract) -> str:
    assert contract.lines is not None
    lines = contract.lines
    return _section(
        f"{_words(contract.entity)}: lines",
        [f"From `{contract.file}`. Lines are paired within one header by {_code(lines.match_on)}."],
        lines.fields,
        lines.salesforce,
        lines.d365,
        [*_linking(lines.link), *_making(lines.create)],
    )


def _section(
    title: str, opening: Iterable[str], fields: Iterable[Field], salesforce: Side, d365: Side, notes: Iterable[str]
) -> str:
    besides = [
        f"Read besides from {_TITLES[side.system]}: {', '.join(map(_code, side.extra))}."
        for side in (salesforce, d365)
        if side.extra
    ]
    table = "\n".join([_HEAD.format(salesforce.source, d365.source), *map(_row, fields)])
    points = "\n".join(f"- {note}" for note in (*besides, *notes))
    return "\n\n".join(filter(None, [f"## {title}", " ".join(filter(None, opening)), table, points])) + "\n"


def _row(field: Field) -> str:
    d365 = " + ".join(map(_code, field.d365_columns)) or (
        f"sum of the lines' {field.d365_sum_of}" * bool(field.d365_sum_of)
    )
    cells = [
        field.label,
        _code(field.salesforce) if field.salesforce else f"{field.salesforce_via_product or ''} of the product".strip(),
        d365,
        _TITLES[field.owner],
        f"{field.compare}{_tolerance(field)}" if field.is_compared else "not compared",
        field.on_difference if field.is_compared else "",
        ", ".join(_rules(field)),
    ]
    return f"| {' | '.join(cells)} |"


def _tolerance(field: Field) -> str:
    if field.tolerance is None:
        return ""
    given = field.tolerance
    limits = [str(given.absolute)] if given.absolute is not None else []
    limits += [f"{given.percent} %"] if given.percent is not None else []
    limits += [f"{given.days} days"] if given.days is not None else []
    limits += [f"{given.seconds} s"] if given.seconds is not None else []
    return f" (± {' or '.join(limits)})"


def _rules(field: Field) -> list[str]:
    rules = ["required"] if field.required else []
    rules += ["more than 0"] if field.positive else []
    rules += [f"at most {field.max_length} characters"] if field.max_length else []
    rules += [f"values of `{field.values.name}`"] if field.values else []
    rules += [f"equal by the crosswalk of {_words(field.references).lower()}s"] if field.references else []
    rules += ["sent when the record is created"] if field.on_create and field.owner == "d365" else []
    rules += ["without its legal form"] if field.ignores_legal_form else []
    rules += ["as E.164"] if field.region or field.region_columns else []
    rules += [f"in one unit ({', '.join(field.conversion.factors)})"] if field.conversion else []
    rules += [f"at the rate of {_code(field.exchange.date)}"] if field.exchange else []
    rules += ["not compared where empty"] if field.skip_when_empty else []
    rules += [f"empty counts as {field.empty_is}"] if field.empty_is is not None else []
    return rules


def _linking(link: Link) -> list[str]:
    notes = []
    if link.stored:
        notes.append(f"Linked by {_code(link.stored)} in Salesforce, which Tieout fills with company/number.")
    if link.reference:
        notes.append(f"Linked by {_code(link.reference)} in D365, which Tieout fills with the Salesforce id.")
    if link.company:
        notes.append(f"The D365 company of a Salesforce record is in {_code(link.company)}.")
    if link.synced_at:
        notes.append(f"The time of the last write-back is in {_code(link.synced_at)}.")
    return notes


def _making(create: Create) -> list[str]:
    notes = []
    if create.number_given_by == "d365":
        notes.append(
            "Number of a new D365 record: from D365's own number sequence. After a lost answer one that is not found by its reference "
            f"counts as absent only after {create.settle_s:,} seconds."
        )
    if create.number_prefix:
        own = f"its {_code(create.number_from)} where it fits, else " if create.number_from else ""
        notes.append(f"Number of a new D365 record: {own}{_code(create.number_prefix)} and the Salesforce id.")
    if create.constants:
        constants = ", ".join(f"{_code(name)} = {_code(value)}" for name, value in create.constants.items())
        notes.append(f"A new D365 record also gets {constants}.")
    return notes


def _changing(policy: AfterDelivery) -> list[str]:
    changed = {
        "report": "is reported",
        "amend": "changes the D365 record while nothing of it is posted",
    }[policy.changed]
    lost = {
        "report": "is reported",
        "stop": "stops the processing of the D365 record while nothing of it is posted",
    }[policy.lost]
    return [f"After delivery, a record that changes in Salesforce {changed}, and one that is lost there {lost}."]


def _value_maps(maps: Iterable[ValueMap]) -> list[str]:
    notes = []
    for values in maps:
        sides = {system: values.of(system) for system in _TITLES}
        if sides["salesforce"] == sides["d365"] and all(name == value for name, value in sides["d365"].items()):
            notes.append(f"Values of `{values.name}`: {', '.join(map(_code, sides['d365']))}.")
            continue
        for system, spellings in sides.items():
            pairs = ", ".join(f"{_code(spelling)} → {value}" for spelling, value in spellings.items())
            if pairs:
                notes.append(f"Values of `{values.name}` in {_TITLES[system]}: {pairs}.")
    return notes


def _code(text: str) -> str:
    return f"`{text}`"


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()
