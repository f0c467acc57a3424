"""What a report was made from, kept in the lake, so that it can be made again: the manifest of a run and the facts of the ledger that it used.

Rows of the two systems need no copy: the lake keeps every version of its tables, and the manifest names those that were compared. What the
ledger knew changes in place, so what the report used of it is kept as tables below `evidence/`, every value as text that reads back exactly.
"""

import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from resources.ledger.breaks import BreakRow
from resources.ledger.crosswalk import Link
from resources.workbench import Inputs
from tieout.delivery import State
from tieout.errors import RecordError, SourceUnavailable
from tieout.reconciliation import ReadTimes

if TYPE_CHECKING:
    import pyarrow as pa

    from resources.lake import Lake

T = TypeVar("T")

MANIFEST_KEY = ("evidence", "manifest")
_NEWEST_KEY = ("evidence", "newest")
_LINKS = "links"


@dataclass(frozen=True, slots=True)
class SweepFact:
    """One read of a table that was compared."""

    system: str
    table: str
    rows_read: int
    started_at: datetime
    ended_at: datetime
    complete: bool


@dataclass(frozen=True, slots=True)
class SentFact:
    """A delivery of the run; in a dry run, what would be sent."""

    entity: str
    operation: str
    company: str
    business_key: str
    d365_key: str
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class WrittenFact:
    """A write-back of the run; `fields` as the ledger has them, with commas between."""

    entity: str
    business_key: str
    fields: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class CauseFact:
    """Why an order differs, as the bridge of the tie-out was explained."""

    salesforce_key: str | None
    d365_key: str | None
    company: str
    cause: str
    explains: bool


@dataclass(frozen=True, slots=True)
class CountFact:
    """How many deliveries of an entity (empty: of all) are in a state, over all runs."""

    entity: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class ContractFact:
    """A file of the contracts."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a report says and that neither the compared rows nor the contracts can tell."""

    sweeps: Sequence[SweepFact] = ()
    breaks: Sequence[BreakRow] = ()
    deliveries: Sequence[SentFact] = ()
    counts: Sequence[CountFact] = ()
    write_backs: Sequence[WrittenFact] = ()
    causes: Sequence[CauseFact] = ()
    contracts: Sequence[ContractFact] = ()


_KINDS: Mapping[str, type] = {
    "sweeps": SweepFact,
    "breaks": BreakRow,
    "deliveries": SentFact,
    "counts": CountFact,
    "write_backs": WrittenFact,
    "causes": CauseFact,
    "contracts": ContractFact,
    _LINKS: Link,
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run's report and what it was made from.

    `versions`: lake table → version, of every table that was read; `facts`: table below `evidence/` → its version. `started`: begin of
    the run in seconds since 1970. `steps`: asset → the figures that it reported.
    """

    run_id: str
    as_of: datetime
    started: float
    dry_run: bool
    addresses: Mapping[str, str]
    steps: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, int]
    salesforce_at: datetime
    d365_at: datetime
    facts: Mapping[str, int]
    tieout: str

    @property
    def folder_name(self) -> str:
        """The name of the folder of its report."""
        return f"{self.as_of:%Y-%m-%dT%H-%M-%SZ}-{self.run_id[:8]}"


def keep(
    lake: "Lake",
    inputs: Inputs,
    facts: Facts,
    *,
    run_id: str,
    as_of: datetime,
    started: float,
    dry_run: bool,
    addresses: Mapping[str, str],
    steps: Mapping[str, Mapping[str, Any]],
    tieout: str,
) -> Manifest:
    """Write the facts and the manifest of a run. Facts that have not changed since the newest manifest are not written again."""
    before = _newest_facts(lake)
    versions: dict[str, int] = {}
    digests: dict[str, str] = {}
    for name, rows in _tables_of(facts, inputs.links).items():
        table = as_texts(rows, _KINDS[name])
        digests[name] = _digest(table)
        there = before.get(name)
        is_same = there is not None and there[1] == digests[name]
        versions[name] = there[0] if there is not None and is_same else lake.replace(("evidence", name), table)
    lake.replace(_NEWEST_KEY, _as_newest(versions, digests))
    manifest = Manifest(
        run_id=run_id,
        as_of=as_of,
        started=started,
        dry_run=dry_run,
        addresses=dict(addresses),
        steps=plain_figures(steps),
        versions=dict(inputs.versions),
        salesforce_at=inputs.reads.salesforce_at,
        d365_at=inputs.reads.d365_at,
        facts=versions,
        tieout=tieout,
    )
    lake.append(MANIFEST_KEY, _row_of(manifest))
    return manifest


def find(lake: "Lake", run: str) -> Manifest:
    """The manifest of the run whose id is `run`, or begins with it in a way that no other does. RecordError where there is none, or several."""
    if not lake.exists(MANIFEST_KEY):
        raise RecordError(
            f"No run has kept what its report was made from in the lake {lake.url} yet. Start one with: tieout run"
        )
    rows = lake.dataset(MANIFEST_KEY).to_table(columns=["run_id", "as_of"]).to_pylist()
    fitting = sorted({row["run_id"] for row in rows if run and row["run_id"].startswith(run.lower())})
    if not fitting:
        newest = max(rows, key=lambda row: row["as_of"])["run_id"]
        raise RecordError(f"No report was made by a run {run!r}. The id of the newest one that made one is {newest}.")
    if len(fitting) > 1:
        raise RecordError(f"{len(fitting)} runs begin with {run!r}: {', '.join(fitting[:5])}. Give more of the id.")
    import pyarrow.dataset

    theirs = lake.dataset(MANIFEST_KEY).to_table(filter=pyarrow.dataset.field("run_id") == fitting[0]).to_pylist()
    return _manifest_of(max(theirs, key=lambda row: row["as_of"])["manifest"])


def restore(lake: "Lake", manifest: Manifest) -> tuple[Inputs, Facts]:
    """What a manifest names, from the lake.

    SourceUnavailable names the table and version that the lake does not have any more.
    """
    evidence = {f"evidence/{name}": version for name, version in manifest.facts.items()}
    for name, version in sorted({**manifest.versions, **evidence}.items()):
        _require(lake, manifest.run_id, name, version)
    restored: dict[str, Any] = {
        name: from_texts(lake.dataset(("evidence", name), version).to_table(), _KINDS[name])
        for name, version in manifest.facts.items()
    }
    links = restored.pop(_LINKS)
    inputs = Inputs(dict(manifest.versions), links, ReadTimes(manifest.salesforce_at, manifest.d365_at))
    return inputs, Facts(**restored)


def plain_figures(steps: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures of steps that are numbers or texts; the others (columns, paths) are for the UI."""
    return {
        name: {figure: value for figure, value in figures.items() if isinstance(value, str | int | float)}
        for name, figures in steps.items()
    }


def as_texts(rows: Iterable[Any], kind: type) -> "pa.Table":
    """Rows of a dataclass as a table of texts, a column for each field and `position` for their order."""
    import pyarrow as pa  # imported here: loading the definitions must not pay for it

    found = list(rows)
    columns = {
        each.name: pa.array([_text(getattr(row, each.name)) for row in found], pa.string()) for each in fields(kind)
    }
    return pa.table({"position": pa.array(range(len(found)), pa.int64()), **columns})


def from_texts(table: "pa.Table", kind: type[T]) -> list[T]:
    """What `as_texts` was given. A field that the table does not have keeps its default."""
    hints = get_type_hints(kind)
    known = [each.name for each in fields(kind) if each.name in table.column_names]  # type: ignore[arg-type]
    rows = table.sort_by("position").select(known).to_pylist()
    return [kind(**{name: _value(hints[name], text) for name, text in row.items()}) for row in rows]


def _tables_of(facts: Facts, links: Sequence[Link]) -> dict[str, Sequence[Any]]:
    return {each.name: getattr(facts, each.name) for each in fields(Facts)} | {_LINKS: links}


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    # What has no UTF-8 form (half a surrogate pair in a name) has one in JSON.
    text = str(value)
    return text if not any("\ud800" <= character <= "\udfff" for character in text) else _ESCAPED + json.dumps(text)


_ESCAPED = "\x00"
"""Stands before a text that is kept as JSON; no text of a system has it (`landing` takes it out)."""


def _value(kind: Any, text: str | None) -> Any:
    if text is None:
        return None
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if kind is bool:
        return text == "True"
    if kind in (datetime, date):
        return kind.fromisoformat(text)
    if kind in (int, float, Decimal) or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return kind(text)
    return json.loads(text[1:]) if text.startswith(_ESCAPED) else text


def _digest(table: "pa.Table") -> str:
    digest = sha256()
    for row in table.to_pylist():
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()


def _row_of(manifest: Manifest) -> "pa.Table":
    import pyarrow as pa

    text = json.dumps(asdict(manifest), default=_text, sort_keys=True)
    return pa.table(
        {
            "run_id": pa.array([manifest.run_id], pa.string()),
            "as_of": pa.array([manifest.as_of], pa.timestamp("us", tz="UTC")),
            "manifest": pa.array([text], pa.string()),
        }
    )


def _manifest_of(text: str) -> Manifest:
    values = json.loads(text)
    instants = ("as_of", "salesforce_at", "d365_at")
    return Manifest(**values | {name: datetime.fromisoformat(values[name]) for name in instants})


def _newest_facts(lake: "Lake") -> dict[str, tuple[int, str]]:
    """Table of facts → its newest version and the digest of its rows. Kept apart, so that no run has to read the manifests of all others."""
    if not lake.exists(_NEWEST_KEY):
        return {}
    rows = lake.dataset(_NEWEST_KEY).to_table().to_pylist()
    return {row["name"]: (row["version"], row["digest"]) for row in rows}


def _as_newest(versions: Mapping[str, int], digests: Mapping[str, str]) -> "pa.Table":
    import pyarrow as pa

    names = sorted(versions)
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "version": pa.array([versions[name] for name in names], pa.int64()),
            "digest": pa.array([digests[name] for name in names], pa.string()),
        }
    )


def _require(lake: "Lake", run_id: str, name: str, version: int) -> None:
    gone = f"The report of run {run_id} cannot be made again: version {version} of {name} is no longer in the lake"
    try:
        dataset = lake.dataset(name.split("/"), version)
    except SourceUnavailable as problem:
        raise SourceUnavailable(f"{gone}. {problem}") from problem
    infos = dataset.filesystem.get_file_info(dataset.files) if dataset.files else []
    if any(not info.is_file for info in infos):
        raise SourceUnavailable(f"{gone}: its files were removed. Tables that reports name must not be vacuumed.")
