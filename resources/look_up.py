"""Looking in D365 for the records that deliveries are about: header and lines, by key or by reference, in lists, over all companies."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resources.d365 import D365Client
from tieout.contract import Contract, Table
from tieout.odata import any_of, equals, in_key_lists


@dataclass(frozen=True, slots=True)
class RecordKey:
    """Company and number of a customer or an order, sent as they are stored, compared without regard to capitals as D365 does.

    Nothing is trimmed: blanks count in numbers.
    """

    company: str = field(compare=False)
    number: str = field(compare=False)
    folded: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded", (self.company.casefold(), self.number.casefold()))


@dataclass(frozen=True, slots=True)
class Found:
    """A record as D365 has it: the contract's columns, numbers as Decimal."""

    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]] = ()

    @property
    def etag(self) -> str:
        """The row version of the header, to be sent back as If-Match."""
        return str(self.header.get("@odata.etag", ""))


def look_for(
    client: D365Client, contract: Contract, keys: Collection[RecordKey], *, doubly: bool
) -> dict[RecordKey, Found]:
    """What D365 has under `keys`; what it has not is left out.

    `doubly` asks once more by the key itself for each that a list did not show: nobody may plan a create again on one answer alone.
    """
    header_table = contract.table("d365")
    headers = _by_key(client, header_table, header_table.key[1], keys)
    if doubly:
        for key in set(keys) - headers.keys():
            row = client.by_key(
                header_table.source,
                dict(zip(header_table.key, (key.company, key.number), strict=True)),
                _columns(header_table),
            )
            if row is not None:
                headers[key] = [row]
    lines = _lines_of(client, contract, headers)
    return {key: Found(rows[0], lines.get(key, [])) for key, rows in headers.items()}


def look_by_reference(
    client: D365Client, contract: Contract, references: Collection[RecordKey]
) -> dict[RecordKey, list[Found]]:
    """Every order that carries one of `references` (company and Salesforce id, as the `number` of a key); there may be several of each.

    D365 does not keep references unique, and people can change them: whoever asks has to count.
    """
    header_table = contract.table("d365")
    headers = _by_key(client, header_table, contract.link.reference or "", references)
    numbered = {
        RecordKey(str(row[header_table.key[0]]), str(row[header_table.key[1]])): [row]
        for rows in headers.values()
        for row in rows
    }
    lines = _lines_of(client, contract, numbered)
    return {
        reference: [
            Found(row, lines.get(RecordKey(str(row[header_table.key[0]]), str(row[header_table.key[1]])), []))
            for row in rows
        ]
        for reference, rows in headers.items()
    }


def _lines_of(
    client: D365Client, contract: Contract, headers: Mapping[RecordKey, object]
) -> Mapping[RecordKey, list[dict[str, Any]]]:
    if contract.lines is None or not headers:
        return {}
    table = contract.lines_table("d365")
    return _by_key(client, table, table.parent or contract.table("d365").key[1], headers.keys())


def _by_key(
    client: D365Client, table: Table, number: str, keys: Collection[RecordKey]
) -> dict[RecordKey, list[dict[str, Any]]]:
    """The rows whose company and `number` are among `keys`, by key."""
    company = table.key[0]
    numbers: dict[str, list[str]] = defaultdict(list)
    for key in sorted(keys, key=lambda key: key.folded):
        numbers[key.company].append(key.number)
    found: dict[RecordKey, list[dict[str, Any]]] = defaultdict(list)
    for of_company, its_numbers in numbers.items():
        for some in in_key_lists(its_numbers):
            where = f"{equals(company, of_company)} and {any_of(number, some)}"
            for row in client.rows(table.source, where=where, select=_columns(table), order_by=table.key):
                key = RecordKey(str(row[company]), str(row[number]))
                # An equality of D365 can be wider than ours (patterns, blanks at the end): only the very key counts.
                if key in keys:
                    found[key].append(row)
    return dict(found)


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]
