"""Precision, recall and F1 of the matching on real data with known truth.

- `chicago`: nine lists of the same sites, doubles inside one relation; truth: `True Id`. Sites are cut into two halves by their id; the threshold
  with the best F1 on one half is used on the other, and that half's figures are printed. Only the threshold is held out: the shipped
  m-probabilities come from an expectation maximisation over all sites (without their truth). Strangers are sampled, so the figures depend on
  the seed: `f1_over_seeds` has the lowest, mean and highest F1 of both halves over several; the other figures are those of the seed in use.
- `masters`: the two AdventureWorks customer masters, whose account number is hidden from the matcher; truth: that number. Once for the first
  proposal of each reseller, and in `every_proposal` for all that a person would be shown.
- `doubles`: the accounts that 635 of the stores have twice inside the ERP master. Both have the store's one name and address, so that this shows
  whether all are found and what else is, not how different spellings are told.

Prints one JSON object. The data is no part of the project: TIEOUT_SHARED_DATA names its folder, `../shared/data` by default.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from tieout.matching import Proposal, propose
from tieout.matching.model import SEED
from tieout.matching.proposals import PROPOSE_FROM
from tieout.sql import literal

DATA = Path(os.environ.get("TIEOUT_SHARED_DATA") or Path(__file__).resolve().parent.parent.parent / "shared" / "data")
SEEDS = (SEED, 1, 2, 3, 4)
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def main() -> int:
    """Match all three, and print what came of it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true", help="kept for scripts; the output is JSON always")
    arguments.parse_args()
    if not DATA.is_dir():
        print(f"no data in {DATA}; TIEOUT_SHARED_DATA names another folder", file=sys.stderr)
        return 2
    print(
        json.dumps({name: made() for name, made in (("chicago", chicago), ("masters", masters), ("doubles", doubles))})
    )
    return 0


def chicago() -> dict[str, Any]:
    """Doubles among 3,337 records of 1,162 sites."""
    con = duckdb.connect()
    file = literal(str(DATA / "company_matching" / "chicago_sites_true_ids.csv.gz"))
    # Names and addresses run over lines; the format of the lines must not be guessed from the first of them.
    con.execute(
        f"CREATE TABLE site AS SELECT * FROM read_csv({file}, header = true, all_varchar = true, quote = '\"', escape = '\"', new_line = '\\n')"
    )
    con.execute(
        """CREATE VIEW party AS SELECT Id AS key, '' AS company, Id AS number, "Site name" AS name, Address AS street,
    NULL::VARCHAR AS city, regexp_extract(coalesce(Zip, ''), '([0-9]{5})', 1) AS postal_code, 'US' AS country, Phone AS phone,
    NULL::VARCHAR AS email, NULL::VARCHAR AS tax_number FROM site"""
    )
    site_of = dict(con.execute('SELECT Id, "True Id" FROM site').fetchall())
    found, taken_s = _timed(lambda: propose(con, "duplicate_in_d365", "party", propose_from=THRESHOLDS[0]))
    by_seed = {SEED: found} | {
        seed: propose(con, "duplicate_in_d365", "party", propose_from=THRESHOLDS[0], seed=seed) for seed in SEEDS[1:]
    }

    def half_of(key: str) -> int:
        return int(site_of[key]) % 2

    def measured(half: int, threshold: float, found: list[Proposal]) -> dict[str, float]:
        of_site: dict[str, int] = {}
        for key, site in site_of.items():
            if half_of(key) == half:
                of_site[site] = of_site.get(site, 0) + 1
        truth = sum(number * (number - 1) // 2 for number in of_site.values())
        # A pair over both halves is wrong, and counts for the half of its first record.
        pairs = [each for each in found if each.probability >= threshold and half_of(each.left_key) == half]
        right = sum(site_of[each.left_key] == site_of[each.right_key] for each in pairs)
        return _figures(right, len(pairs), truth)

    def held_out(found: list[Proposal]) -> list[dict[str, float]]:
        halves = []
        for learned, told in ((0, 1), (1, 0)):
            threshold = max(THRESHOLDS, key=lambda each: measured(learned, each, found)["f1"])
            halves.append({"threshold": threshold, **measured(told, threshold, found)})
        return halves

    scores = [half["f1"] for each in by_seed.values() for half in held_out(each)]
    return {
        "records": len(site_of),
        "s": taken_s,
        "halves": held_out(found),
        "at_review_threshold": [measured(half, PROPOSE_FROM, found) for half in (0, 1)],
        "f1_over_seeds": [min(scores), round(sum(scores) / len(scores), 4), max(scores)],
    }


def masters() -> dict[str, Any]:
    """Resellers of the warehouse against stores of the ERP master, one customer for each store, without their number."""
    con = _adventureworks()
    con.execute(
        """CREATE VIEW one_customer AS SELECT * FROM erp_party
QUALIFY row_number() OVER (PARTITION BY store ORDER BY number) = 1"""
    )
    store_of = dict(con.execute("SELECT key, store FROM erp_party").fetchall())
    store_of_number = dict(con.execute("SELECT number, store FROM erp_party").fetchall())
    reseller = dict(con.execute("SELECT key, number FROM warehouse_party").fetchall())
    found, taken_s = _timed(lambda: propose(con, "link", "warehouse_party", "one_customer"))
    # The first proposal of each reseller: what somebody would accept without looking further.
    best: dict[str, Proposal] = {}
    for each in found:
        best.setdefault(each.left_key, each)
    right = sum(store_of_number.get(reseller[each.left_key]) == store_of[each.right_key] for each in best.values())
    every = sum(store_of_number.get(reseller[each.left_key]) == store_of[each.right_key] for each in found)
    return {
        "left": len(reseller),
        "s": taken_s,
        "proposals": len(found),
        **_figures(right, len(best), len(reseller)),
        "every_proposal": _figures(every, len(found), len(reseller)),
    }


def doubles() -> dict[str, Any]:
    """Two accounts of one store inside the ERP master."""
    con = _adventureworks()
    store_of = dict(con.execute("SELECT key, store FROM erp_party").fetchall())
    truth = con.execute(
        "SELECT count(*) FROM erp_party AS a JOIN erp_party AS b ON a.store = b.store AND a.key < b.key"
    ).fetchall()[0][0]
    found, taken_s = _timed(lambda: propose(con, "duplicate_in_d365", "erp_party"))
    right = sum(store_of[each.left_key] == store_of[each.right_key] for each in found)
    return {"records": len(store_of), "s": taken_s, **_figures(right, len(found), truth)}


def _adventureworks() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    names = (
        "resellers",
        "geography",
        "erp_store",
        "erp_customer",
        "erp_business_entity_address",
        "erp_address",
        "erp_state_province",
        "erp_country_region",
    )
    for name in names:
        file = literal(str(DATA / "adventureworks" / f"{name}.csv.gz"))
        con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_csv({file}, header = true, all_varchar = true)")
    con.execute(
        """CREATE TABLE warehouse_party AS SELECT 'r' || ResellerKey AS key, '' AS company, ResellerAlternateKey AS number,
    ResellerName AS name, AddressLine1 AS street, City AS city, PostalCode AS postal_code, CountryRegionCode AS country,
    NULL::VARCHAR AS phone, NULL::VARCHAR AS email, NULL::VARCHAR AS tax_number
FROM resellers JOIN geography USING (GeographyKey)"""
    )
    con.execute(
        """CREATE TABLE erp_party AS SELECT 'c' || CustomerID AS key, '' AS company, AccountNumber AS number, StoreID AS store,
    store.Name AS name, AddressLine1 AS street, City AS city, PostalCode AS postal_code, CountryRegionCode AS country,
    NULL::VARCHAR AS phone, NULL::VARCHAR AS email, NULL::VARCHAR AS tax_number
FROM erp_customer AS customer
JOIN erp_store AS store ON store.BusinessEntityID = customer.StoreID
JOIN (SELECT BusinessEntityID, min(AddressID::INT)::VARCHAR AS AddressID FROM erp_business_entity_address GROUP BY 1) AS located
    ON located.BusinessEntityID = customer.StoreID
JOIN erp_address AS address ON address.AddressID = located.AddressID
JOIN erp_state_province AS province USING (StateProvinceID)"""
    )
    return con


def _timed(made: Callable[[], list[Proposal]]) -> tuple[list[Proposal], float]:
    started = time.perf_counter()
    found = made()
    return found, round(time.perf_counter() - started, 2)


def _figures(right: int, found: int, truth: int) -> dict[str, float]:
    precision, recall = right / found if found else 0.0, right / truth if truth else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


if __name__ == "__main__":
    sys.exit(main())
