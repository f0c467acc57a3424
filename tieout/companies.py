"""The companies of D365 that a read has to hear from, and what is said of those that were silent.

D365 gives the rows of all companies that the application's user may see, and leaves the others out without a word: a role that was taken
away for one company looks like a company whose records are all gone. A row that came is an answer of its company; a company without any
has to be asked for.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answered:
    """What a read of D365 brought: rows by company, and of a read of open orders what became of those that were no longer open.

    `by_package`: how a table came for which there is an export project. `read_by_key`: rows of records that the lake held for open and that did not come as such; `gone`: records of these that D365 has no more.
    """

    rows: Mapping[str, int]
    open_only: bool = False
    read_by_key: int = 0
    gone: int = 0
    by_package: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "companies": dict(sorted(self.rows.items())),
            "open_only": self.open_only,
            "read_by_key": self.read_by_key,
            "gone": self.gone,
            "by_package": self.by_package,
        }

    def as_markdown(self) -> str:
        """A table for people: one row for each company."""
        lines = ["| Company | Rows |", "|---|---:|"]
        lines += [f"| {company} | {count:,} |" for company, count in sorted(self.rows.items())]
        text = "\n".join(lines)
        if self.open_only:
            text += (
                "\n\nOnly what is open, or was made since the read before. Of what was open then and did not come, "
                f"{self.read_by_key:,} rows were read by key, and {self.gone:,} are there no more."
            )
        return f"{text}\n\nRead by {self.by_package}." if self.by_package else text


def silent_companies(named: Collection[str], known: Collection[str], arrived: Collection[str]) -> list[str]:
    """The companies that had to answer and sent no row: those that the configuration names, or without any the ones that are known."""
    return sorted(set(named or known) - set(arrived))


def has_vanished(source: str, company: str, known: int) -> str:
    """What is said of a company that had records and shows none."""
    return (
        f"{source}: company {company} had {known:,} records at the last read and shows none now. D365 leaves out what a role may not see: check "
        f"in D365 that the role of the application's user still holds for {company}. If the company is empty by now, set TIEOUT_COMPANIES to "
        "the companies that are not."
    )


def never_answered(source: str, company: str) -> str:
    """What is said of a company that is named and of which D365 shows nothing at all."""
    return (
        f"{source}: TIEOUT_COMPANIES names {company}, and D365 shows nothing of it, neither here nor in any other table. Give the role of the "
        f"application's user {company} in D365, or take it out of TIEOUT_COMPANIES."
    )
