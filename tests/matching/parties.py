"""Parties for tests of the matching: one valid company, of which a test changes what it is about."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from tieout.matching import PARTY_COLUMNS

CONTOSO: Mapping[str, str | None] = {
    "key": "1",
    "company": "usmf",
    "number": "1",
    "name": "Contoso Pumps",
    "street": "12 Harbour Street",
    "city": "Seattle",
    "postal_code": "98101",
    "country": "US",
    "phone": "+1 206 555 0100",
    "email": "office@contoso.example",
    "tax_number": None,
}


def a_party(key: str, **changes: str | None) -> dict[str, str | None]:
    return {**CONTOSO, "key": key, "number": key, **changes}


def strangers(prefix: str, number: int) -> list[dict[str, str | None]]:
    """Companies that share nothing with anybody."""
    return [
        a_party(
            f"{prefix}{each}",
            name=f"{_word(each)} {_word(each * 7 + 3)} Works",
            street=f"{each + 100} {_word(each * 3 + 1)} Road",
            city=_word(each * 11 + 5),
            postal_code=f"{10000 + each * 37}",
            phone=f"555{each:07d}",
            email=f"mail@{_word(each * 13 + 7)}.example",
        )
        for each in range(number)
    ]


def connection(**relations: Sequence[Mapping[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A connection with one relation of parties for each argument."""
    con = duckdb.connect(config={"threads": 2})
    for name, rows in relations.items():
        table = pa.table({column: pa.array([row[column] for row in rows], pa.string()) for column in PARTY_COLUMNS})
        con.register(f"given_{name}", table)
        con.execute(f"CREATE TABLE {name} AS SELECT * FROM given_{name}")
    return con


def _word(number: int) -> str:
    """A word that looks like no other."""
    letters = "bcdfghjklmnpqrstvwxz"
    mixed = (number * 2_654_435_761) % 2**32
    return "".join(
        letters[(mixed >> shift) % 20] + "aeiou"[(mixed >> (shift + 3)) % 5] for shift in range(0, 20, 5)
    ).title()
