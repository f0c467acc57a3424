"""Lost accents are recognised and can be restored, proven on the two customer masters of the real data."""

import csv
import gzip
import os
from pathlib import Path

import duckdb
import pytest

from tieout.damaged_text import DAMAGE_PATTERN, looks_damaged, repaired
from tieout.sql import literal

DATA = (
    Path(os.environ.get("TIEOUT_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    / "adventureworks"
)


@pytest.mark.parametrize(
    ("damaged", "intact"),
    [
        ("1, place de la R\u201apublique", "1, place de la République"),
        ("Rotth\u201euser Weg 511", "Rotthäuser Weg 511"),
        ("Kurf\x81rstenstr 9", "Kurfürstenstr 9"),
        ("K\u201dnigsteiner Stra\u00e1e 9", "Königsteiner Straße 9"),
        ("Ro\u00e1str 2248", "Roßstr 2248"),
    ],
)
def test_a_damaged_street_is_restored(damaged: str, intact: str) -> None:
    assert repaired(damaged) == intact


@pytest.mark.parametrize(
    "text", ["", "18, rue de l'Esplanade", "l\u00b4Esplanade", "Café", "東京", "O\u2019Brien's", "A \u2013 B"]
)
def test_a_text_that_cannot_have_been_damaged_is_left_alone(text: str) -> None:
    assert repaired(text) is None


def test_a_restored_text_does_not_look_damaged() -> None:
    damaged = "R\u201apublique"

    assert looks_damaged(damaged)
    assert not looks_damaged(repaired(damaged) or damaged)


def read(name: str) -> list[dict[str, str]]:
    """One file of the real data."""
    path = DATA / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent; set TIEOUT_SHARED_DATA to the folder with the real data")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_fifteen_streets_of_the_real_data_are_restored_to_what_the_other_master_holds() -> None:
    store_of = {row["AccountNumber"]: row["StoreID"] for row in read("erp_customer") if row["StoreID"]}
    addresses = {row["AddressID"]: row["AddressLine1"] for row in read("erp_address")}
    streets_of: dict[str, set[str]] = {}
    for row in read("erp_business_entity_address"):
        streets_of.setdefault(row["BusinessEntityID"], set()).add(addresses[row["AddressID"]])

    differing = [
        (reseller["AddressLine1"], streets)
        for reseller in read("resellers")
        if reseller["AddressLine1"] not in (streets := streets_of[store_of[reseller["ResellerAlternateKey"]]])
    ]

    assert len(differing) == 18
    assert sum(repaired(street) in streets for street, streets in differing) == 15


def test_of_the_streets_and_names_of_the_real_data_only_damaged_ones_look_damaged() -> None:
    """Two of the fifteen show nothing from one side: `Roástr` is spelt with a letter that exists."""
    suspected = {row["AddressLine1"] for row in read("resellers") if looks_damaged(row["AddressLine1"])}
    intact = [row["AddressLine1"] for row in read("erp_address")] + [row["Name"] for row in read("erp_store")]

    assert len(suspected) == 13
    assert [text for text in intact if looks_damaged(text)] == []


def test_the_rule_in_sql_and_the_one_in_python_agree() -> None:
    samples = [
        "R\u201apublique",
        "Kurf\x81rsten",
        "Caf\u00c3\u00a9",
        "O\u2019Brien",
        "\u201eMitte\u201c",
        "M\u00fcller",
        "plain",
        "K\u201dnig",
        "\ufffd",
    ]

    with duckdb.connect() as con:
        found = [
            con.execute(f"SELECT regexp_matches(?, {literal(DAMAGE_PATTERN)})", [text]).fetchall()[0][0]
            for text in samples
        ]

    assert found == [looks_damaged(text) for text in samples]
