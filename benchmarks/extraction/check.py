"""What Salesforce has and a client's disk has not: the check that every figure has to pass."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.extraction.org import Opportunity

Rows = Mapping[str, Opportunity]


@dataclass(frozen=True, slots=True)
class Losses:
    """Ids of Salesforce's live records that are not on the disk or are there in an old version, and of deleted ones that live on there."""

    missing: frozenset[str]
    old: frozenset[str]
    undead: frozenset[str]

    @property
    def lost(self) -> frozenset[str]:
        """Live records that the disk does not tell of as they are."""
        return self.missing | self.old

    def __bool__(self) -> bool:
        return bool(self.missing or self.old or self.undead)


def losses(salesforce: Rows, disk: Rows) -> Losses:
    """Compare both record by record: name, amount, and whether it is deleted."""
    live = {id_: record for id_, record in salesforce.items() if not record.deleted}
    kept = {id_ for id_, record in disk.items() if not record.deleted}
    return Losses(
        missing=frozenset(live.keys() - kept),
        old=frozenset(id_ for id_, record in live.items() if id_ in kept and disk[id_] != record),
        undead=frozenset(kept - live.keys()),
    )
