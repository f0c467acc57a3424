"""`tieout matches`: list, show, accept, refuse."""

from dataclasses import asdict
from typing import get_args

from pipelines.cli import output
from pipelines.cli.filters import one_of
from pipelines.cli.ledger import opened_ledger, who
from resources.ledger import Ledger
from resources.ledger.matches import MatchRow, MatchState
from tieout.errors import RecordError
from tieout.matching.proposals import Kind


def list_matches(*, state: str, kind: str | None, limit: int, as_json: bool) -> None:
    """Print proposals, the surest first."""
    wanted_state = one_of("state", state, get_args(MatchState))
    wanted_kind = one_of("kind of match", kind, get_args(Kind))
    with opened_ledger() as ledger:
        rows, total = ledger.matches.page(state=wanted_state, kind=wanted_kind, limit=limit)
        counts = ledger.matches.counts()
    if as_json:
        output.print_json({"counts": counts, "total": total, "matches": [asdict(row) for row in rows]})
        return
    output.print_table(
        f"Matches {state}: {total:,} (the {len(rows):,} surest)",
        ["kind", "left", "name", "right", "name ", "company", "probability", "found by"],
        [
            [
                row.kind,
                row.left_key,
                row.left.get("name"),
                row.right_key,
                row.right.get("name"),
                row.company,
                f"{row.probability:.3f}",
                row.found_by,
            ]
            for row in rows
        ],
        numbers=["probability"],
    )


def show_match(left_key: str, right_key: str, *, as_json: bool) -> None:
    """Print one proposal with what speaks for and against it."""
    with opened_ledger() as ledger:
        row = _named(ledger, left_key, right_key)
    if as_json:
        output.print_json(asdict(row))
        return
    evidence = [
        [part["comparison"], part["words"], f"{part['weight']:+.2f}", part.get("left", ""), part.get("right", "")]
        for part in row.explanation["evidence"]
    ]
    output.print_table(
        f"{row.kind}: {row.state}, probability {row.probability:.3f}, weight {row.weight:+.2f}",
        ["comparison", "says", "bits", "left", "right"],
        [*evidence, ["prior", "any two records", f"{row.explanation['prior']:+.2f}", "", ""]],
        numbers=["bits"],
    )
    names = [name for name in row.left if row.left[name] or row.right.get(name)]
    output.print_table(
        "Values", ["", row.left_key, row.right_key], [[n, row.left.get(n), row.right.get(n)] for n in names]
    )


def decide(left_key: str, right_key: str, *, accept: bool, comment: str) -> None:
    """Accept or refuse a proposal."""
    with opened_ledger() as ledger:
        row = _named(ledger, left_key, right_key)
        act = ledger.matches.accept if accept else ledger.matches.refuse
        act(row.kind, row.left_key, row.right_key, who=who(), note=comment)
    done = "Accepted; the next run follows it." if accept else "Refused; it is not proposed again."
    output.console.print(done, highlight=False)


def _named(ledger: Ledger, left_key: str, right_key: str) -> MatchRow:
    for kind in get_args(Kind):
        try:
            return ledger.matches.get(kind, left_key, right_key)
        except RecordError as missing:
            problem = missing
    raise problem
