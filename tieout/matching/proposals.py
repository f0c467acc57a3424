"""Proposals: pairs that may be the same company, by an exact rule or by the model, each with what speaks for and against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from tieout.matching.exact import EXACT_RULES, exact_select
from tieout.matching.model import COMPARISONS, Scored, score
from tieout.matching.party import party_select

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Kind = Literal["link", "duplicate_in_salesforce", "duplicate_in_d365"]

PROPOSE_FROM = 0.1
"""Pairs below this probability are not worth anybody's time: the best F1 on either half of the Chicago sites."""
MOST_FOR_A_RECORD = 20
"""One site of the Chicago lists has eighteen records."""
LEAST_RECORDS = 2
BY_MODEL = "model"
_SHOWN = ("name", "street", "city", "postal_code", "country", "phone", "email", "tax_number")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one comparison says. `weight` in bits: above zero it speaks for the pair, below against it."""

    comparison: str
    words: str
    weight: Decimal


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
    con: "DuckDBPyConnection", kind: Kind, left: str, right: str | None = None, *, propose_from: float = PROPOSE_FROM
) -> list[Proposal]:
    """The pairs of two relations with PARTY_COLUMNS (`right` is None for doubles inside `left`), the surest first.

    A record is in at most MOST_FOR_A_RECORD proposals. Makes the tables `party_left` and `party_right`.
    """
    tables = {"party_left": left, "party_right": right} if right else {"party_left": left}
    for table, relation in tables.items():
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {party_select(relation)}")
    sizes = [_count(con, table) for table in tables]
    if min(sizes) < (1 if right else LEAST_RECORDS):
        return []
    other = "party_right" if right else None
    found = score(con, "party_left", other, least_probability=min(propose_from, 0.01), records=sum(sizes))
    exact = {
        (left_key, right_key): found_by
        for left_key, right_key, found_by in con.execute(exact_select("party_left", other)).fetchall()
    }
    rank = {rule.name: number for number, rule in enumerate(EXACT_RULES)}
    kept = [each for each in found if each.probability >= propose_from or _pair(each, exact) in exact]
    kept.sort(
        key=lambda each: (rank.get(exact.get(_pair(each, exact), ""), len(rank)), -each.weight, each.left, each.right)
    )
    shown = {"left": _shown(con, "party_left"), "right": _shown(con, other or "party_left")}
    taken: dict[str, int] = {}
    proposals = []
    for each in kept:
        names = (f"l{each.left}", f"{'r' if right else 'l'}{each.right}")
        if max(taken.get(name, 0) for name in names) >= MOST_FOR_A_RECORD:
            continue
        for name in names:
            taken[name] = taken.get(name, 0) + 1
        proposals.append(_proposal(kind, each, exact.get(_pair(each, exact), BY_MODEL), shown))
    return proposals


def _pair(each: Scored, exact: Mapping[tuple[str, str], str]) -> tuple[str, str]:
    """The pair as the exact rules have it; inside one system either may stand first."""
    pair = (each.left, each.right)
    return pair if pair in exact else (each.right, each.left) if (each.right, each.left) in exact else pair


def _proposal(
    kind: Kind, each: Scored, found_by: str, shown: Mapping[str, Mapping[str, Mapping[str, str | None]]]
) -> Proposal:
    left, right = shown["left"][each.left], shown["right"][each.right]
    evidence = tuple(Evidence(name, words, _bits(weight)) for name, words, weight in each.parts)
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
