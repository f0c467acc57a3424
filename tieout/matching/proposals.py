"""Proposals: pairs that may be the same company, by an exact rule or by the model, each with what speaks for and against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from tieout.matching.exact import EXACT_RULES, exact_select
from tieout.matching.model import BLOCKS, COMPARISONS, SEED, Scored, score
from tieout.matching.party import party_select

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Kind = Literal["link", "duplicate_in_salesforce", "duplicate_in_d365"]

PROPOSE_FROM = 0.1
"""Pairs below this probability are not worth anybody's time. The best F1 on the Chicago sites is at 0.1 or 0.2, by which strangers are sampled."""
MOST_FOR_A_RECORD = 20
"""One site of the Chicago lists has eighteen records."""
LEAST_RECORDS = 2
BY_MODEL = "model"
_STORED = {comparison.name: comparison.shown for comparison in COMPARISONS}
_SHOWN = ("name", "street", "city", "postal_code", "country", "phone", "email", "tax_number")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one comparison says. `weight` in bits: above zero it speaks for the pair, below against it.

    `left` and `right` are the two values as stored, a blank between where a comparison looks at several.
    """

    comparison: str
    words: str
    weight: Decimal
    left: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One pair. `weight` is the sum of the evidence and of the prior (how unlikely any two records are to match), in bits.

    `left` and `right` hold what both systems store, for people. `found_by` is an exact rule or `model`.
    """

    kind: Kind
    left_key: str
    right_key: str
    company: str
    probability: float
    weight: Decimal
    prior: Decimal
    found_by: str
    evidence: tuple[Evidence, ...]
    left: Mapping[str, str | None]
    right: Mapping[str, str | None]


def propose(
    con: "DuckDBPyConnection",
    kind: Kind,
    left: str,
    right: str | None = None,
    *,
    propose_from: float = PROPOSE_FROM,
    seed: int = SEED,
) -> list[Proposal]:
    """The pairs of two relations with PARTY_COLUMNS (`right` is None for doubles inside `left`), the surest first.

    What an exact rule finds is proposed whatever the model thinks of it, all other pairs from the probability `propose_from`.
    A record is in at most MOST_FOR_A_RECORD proposals. Makes the tables `party_left`, `party_right` and `party_exact`.
    """
    tables = {"party_left": left, "party_right": right} if right else {"party_left": left}
    for table, relation in tables.items():
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {party_select(relation)}")
    sizes = [_count(con, table) for table in tables]
    if min(sizes) < (1 if right else LEAST_RECORDS):
        return []
    other = "party_right" if right else None
    # Each company has customers of its own: the same party in two companies is no double.
    is_one_company = kind == "duplicate_in_d365"
    rules = exact_select("party_left", other, is_one_company=is_one_company)
    con.execute(f"CREATE OR REPLACE TEMP TABLE party_exact AS {rules}")
    exact = {
        (left_key, right_key): found_by
        for left_key, right_key, found_by in con.execute("SELECT * FROM party_exact").fetchall()
    }
    found = score(
        con,
        "party_left",
        other,
        exact="party_exact",
        least_probability=propose_from,
        records=sum(sizes),
        is_one_company=is_one_company,
        seed=seed,
    )
    rank = {rule.name: number for number, rule in enumerate(EXACT_RULES)}
    found_by = {each: exact.get((each.left, each.right), BY_MODEL) for each in found}
    kept = sorted(found, key=lambda each: (rank.get(found_by[each], len(rank)), -each.weight, each.left, each.right))
    shown = {"left": _shown(con, "party_left"), "right": _shown(con, other or "party_left")}
    taken: dict[str, int] = {}
    proposals = []
    for each in kept:
        names = (f"l{each.left}", f"{'r' if right else 'l'}{each.right}")
        if max(taken.get(name, 0) for name in names) >= MOST_FOR_A_RECORD:
            continue
        for name in names:
            taken[name] = taken.get(name, 0) + 1
        proposals.append(_proposal(kind, each, found_by[each], shown))
    return proposals


def _proposal(
    kind: Kind, each: Scored, found_by: str, shown: Mapping[str, Mapping[str, Mapping[str, str | None]]]
) -> Proposal:
    left, right = shown["left"][each.left], shown["right"][each.right]
    evidence = tuple(
        Evidence(name, words, _bits(weight), _stored(left, name), _stored(right, name))
        for name, words, weight in each.parts
    )
    weight = _bits(each.weight)
    return Proposal(
        kind=kind,
        left_key=each.left,
        right_key=each.right,
        company=(right.get("company") or left.get("company") or ""),
        probability=each.probability,
        weight=weight,
        # What is left over, so that the explanation adds up to the last digit.
        prior=weight - sum((part.weight for part in evidence), Decimal(0)),
        found_by=found_by,
        evidence=evidence,
        left=left,
        right=right,
    )


def _stored(party: Mapping[str, str | None], comparison: str) -> str:
    return " ".join(value for column in _STORED[comparison] if (value := party[column]))


def _bits(weight: float) -> Decimal:
    return Decimal(weight).quantize(Decimal("0.01"))


def _shown(con: "DuckDBPyConnection", table: str) -> dict[str, dict[str, str | None]]:
    columns = ", ".join(f"shown_{name}" for name in _SHOWN)
    rows = con.execute(f"SELECT unique_id, company, number, {columns} FROM {table}").fetchall()
    return {row[0]: dict(zip(("company", "number", *_SHOWN), row[1:], strict=True)) for row in rows}


def _count(con: "DuckDBPyConnection", table: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


COMPARED = tuple(comparison.name for comparison in COMPARISONS)
"""What is compared, in the order of the explanations."""
RULES_DIGEST = sha256(repr((EXACT_RULES, COMPARISONS, BLOCKS)).encode()).hexdigest()[:16]
"""Changes with the rules, so that a new version looks at parties again that have not changed."""
