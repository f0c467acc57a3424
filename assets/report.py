"""What a run found, gathered from the workbench, the lake, the ledger and Dagster's own log, and left as page, workbook and summary."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg

from assets.delivery import would_be_sent
from assets.landing import violations_of
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.breaks import BreakRow
from resources.ledger.delivery_queries import DeliveryFilter
from resources.workbench import Workbench, duckdb_connection, quarantine_key
from tieout import report as page
from tieout.breaks import Cause
from tieout.contract import Contracts
from tieout.delivery import State
from tieout.intended import salesforce_id_of
from tieout.settings import is_loopback

ENTITIES = ("customer", "sales_order")
VERDICT_TABLES = ("customer", "sales_order", "sales_order_line")
_EFFECTS = {"create": "created", "update": "updated"}


@dataclass(frozen=True, slots=True)
class Written:
    """Where a report lies, and what its first line says."""

    html: Path
    workbook: Path
    headline: str
    unexplained: dict[str, str]


def write_report(
    *,
    instance: dg.DagsterInstance,
    run_id: str,
    bench: Workbench,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    addresses: Mapping[str, str],
    folder: Path,
    dry_run: bool,
) -> Written:
    """Gather the report of this run and write it below `folder`; `latest` then points to it."""
    bench.customers()
    bench.orders()
    now = datetime.now(UTC)
    steps = steps_of_run(instance, run_id)
    gathered = _Gathered(bench, lake, ledger, contracts, steps, run_id)
    made = gathered.report(now, addresses, dry_run, _run_started(instance, run_id))
    target = folder / f"{now:%Y-%m-%dT%H-%M-%SZ}-{run_id[:8]}"
    target.mkdir(parents=True, exist_ok=True)
    html, workbook = target / "reconciliation.html", target / "reconciliation.xlsx"
    page.write_html(made, html)
    page.write_xlsx(made, workbook)
    (target / "report.json").write_text(json.dumps(made.as_dict(), ensure_ascii=False))
    summary = gathered.summary(made, html, workbook)
    (target / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=1))
    _point_latest(folder / "latest", target)
    unexplained = {currency: str(amount) for currency, amount in made.headline.unexplained.items()}
    return Written(html, workbook, made.headline.title, unexplained)


def steps_of_run(instance: dg.DagsterInstance, run_id: str) -> dict[str, dict[str, Any]]:
    """Asset → the figures that it reported in this run."""
    found: dict[str, dict[str, Any]] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        event = entry.dagster_event
        if event is None or event.asset_key is None:
            continue
        materialization = event.step_materialization_data.materialization
        figures = {name: value.value for name, value in materialization.metadata.items()}
        found[event.asset_key.to_user_string()] = figures | {"_at": entry.timestamp}
    return found


class _Gathered:
    """Everything that a report needs, each part asked for once."""

    def __init__(
        self,
        bench: Workbench,
        lake: Lake,
        ledger: Ledger,
        contracts: Contracts,
        steps: Mapping[str, Mapping[str, Any]],
        run_id: str,
    ) -> None:
        self._bench = bench
        self._lake = lake
        self._ledger = ledger
        self._contracts = contracts
        self._steps = steps
        self._run_id = run_id

    def report(self, now: datetime, addresses: Mapping[str, str], dry_run: bool, started: float) -> page.Report:
        return page.Report(
            run_id=self._run_id,
            as_of=now,
            sources=[self._source(system, addresses[system]) for system in ("salesforce", "d365")],
            tie_out=[
                page.TieOut(*row)
                for row in self._rows("SELECT company, currency, salesforce, d365, explained FROM tie_out ORDER BY ALL")
            ],
            bridge=[page.BridgePart(*row) for row in self._rows(_BRIDGE)],
            verdicts=[
                page.VerdictCount(entity, *row)
                for entity in VERDICT_TABLES
                for row in self._rows(
                    f"SELECT verdict, count(*) FROM {entity}_verdict GROUP BY verdict ORDER BY verdict"
                )
            ],
            field_counts=[
                page.FieldCount(entity, *row)
                for entity in ENTITIES
                for row in self._rows(
                    f"SELECT field, matched - equal_after_normalising, equal_after_normalising, differs, damaged_characters FROM {entity}_field_count"
                )
            ],
            breaks=self._breaks(),
            duplicates=[page.Duplicate(*row) for row in self._rows(_DUPLICATES)],
            ambiguities=[
                page.Ambiguity(entity, *row)
                for entity in ENTITIES
                for row in self._rows(f"SELECT side, key, candidates, reason FROM crosswalk_{entity}_open ORDER BY key")
            ],
            quarantine=self._quarantine(),
            deliveries=self._deliveries(dry_run),
            delivery_counts=[
                page.DeliveryCount(entity, state, count)
                for entity in ENTITIES
                for state, count in self._ledger.deliveries.counts(entity).items()
                if count
            ],
            write_backs=self._write_backs(),
            api_calls=[
                page.ApiCalls("salesforce", self.api_calls()["salesforce"]),
                page.ApiCalls("d365", self.api_calls()["d365"]),
            ],
            steps=self._step_times(started),
            versions=[
                page.TableVersion(name, version, self._lake.row_count(name.split("/")))
                for name, version in sorted(self._bench.versions.items())
            ],
            duration_s=now.timestamp() - started,
            dry_run=dry_run,
        )

    def summary(self, made: page.Report, html: Path, workbook: Path) -> dict[str, Any]:
        """What `tieout run --json` prints, but for the duration of the whole command."""
        refused = self._ledger.deliveries.counts().get("rejected", 0)
        quarantined = {key: count for key, count in self._quarantined().items() if count}
        waiting = made.headline.waiting_for_person
        return {
            "as_of": made.as_of.isoformat(),
            "run_id": made.run_id,
            "headline": made.headline.title,
            "ties_out": made.ties_out,
            "needs_a_person": bool(waiting or refused or quarantined),
            "extracted": {
                f"{source.system}/{read.table}": read.rows for source in made.sources for read in source.reads
            },
            "quarantined": quarantined,
            "reconciliation": {
                entity: {row.verdict: row.records for row in made.verdicts if row.entity == entity}
                for entity in made.entities
            },
            "differences": {
                entity: {
                    row.field: {
                        # Damaged texts are differences, too; the second figure says how many of the first.
                        "differs": row.differs + row.damaged_characters,
                        "damaged_characters": row.damaged_characters,
                        "equal_after_normalising": row.equal_after_normalising,
                    }
                    for row in made.field_counts
                    if row.entity == entity and (row.differs or row.damaged_characters or row.equal_after_normalising)
                }
                for entity in ENTITIES
            },
            "tie_out": [
                {
                    "company": row.company,
                    "currency": row.currency,
                    **{name: _cents(getattr(row, name)) for name in ("salesforce", "d365", "difference", "explained")},
                }
                for row in made.tie_out
            ],
            "deliveries": {state: count for state, count in self._ledger.deliveries.counts().items() if count},
            "changes": self._changes(),
            "open_breaks": made.headline.open_breaks,
            "api_calls": self.api_calls(),
            "duration_s": round(made.duration_s or 0, 1),
            "dry_run": made.dry_run,
            **({"would_send": self._would_send(made)} if made.dry_run else {}),
            "report": str(html),
            "workbook": str(workbook),
        }

    def api_calls(self) -> dict[str, int]:
        """System → calls that the steps of this run made."""
        calls = {"salesforce": 0, "d365": 0}
        for figures in self._steps.values():
            if figures.get("system") in calls:
                calls[figures["system"]] += int(figures.get("api_calls", 0))
        return calls

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._bench.con.execute(query).fetchall()
        return rows

    def _source(self, system: Any, address: str) -> page.Source:
        reads = []
        for table in self._contracts.tables(system):
            sweep = self._ledger.watermarks.latest_sweep(system, table.name)
            if sweep is not None:
                reads.append(
                    page.TableRead(table.name, sweep.rows_read, sweep.started_at, sweep.ended_at, sweep.complete)
                )
        return page.Source(system, address, reads, sandbox=is_loopback(address))

    def _changes(self) -> dict[str, dict[str, dict[str, int]]]:
        def figure(asset: str, name: str) -> int:
            return int(self._steps.get(asset, {}).get(name, 0))

        return {
            "d365": {
                entity: {name: figure(f"delivery/{entity}", name) for name in ("created", "updated")}
                for entity in ENTITIES
            },
            "salesforce": {
                table: {"created": 0, "updated": figure(f"writeback/{table}", "updated")}
                for table in ("account", "opportunity")
            },
        }

    def _would_send(self, made: page.Report) -> dict[str, dict[str, dict[str, int]]]:
        """As `_changes`: what they would be without the dry run. Salesforce's copies of what is yet to be made are not among them."""
        d365 = {entity: {"created": 0, "updated": 0} for entity in ENTITIES}
        for one in made.deliveries:
            d365[one.entity][_EFFECTS[one.operation]] += 1
        salesforce = {
            table: {"created": 0, "updated": int(self._steps.get(f"writeback/{table}", {}).get("would_update", 0))}
            for table in ("account", "opportunity")
        }
        return {"d365": d365, "salesforce": salesforce}

    def _quarantined(self) -> dict[str, int]:
        tables = [*self._contracts.tables("salesforce"), *self._contracts.tables("d365")]
        return {"/".join(table.lake_key): self._lake.row_count(quarantine_key(table)) for table in tables}

    def _quarantine(self) -> list[page.QuarantinedRow]:
        found: list[page.QuarantinedRow] = []
        tables = [*self._contracts.tables("salesforce"), *self._contracts.tables("d365")]
        with duckdb_connection() as con:
            for table in tables:
                if not self._lake.exists(quarantine_key(table)):
                    continue
                self._lake.register(con, "waiting", quarantine_key(table))
                for key, violations in con.execute("SELECT _key, violations FROM waiting ORDER BY _key").fetchall():
                    found += [
                        page.QuarantinedRow(
                            table.system,
                            table.name,
                            key,
                            one["rule"] or "",
                            one["field"] or "",
                            "error",
                            one["value"],
                            one["reason"] or "",
                        )
                        for one in violations_of(violations)
                    ]
        return found

    def _breaks(self) -> list[page.Break]:
        labels = {
            (entity, salesforce, d365): label
            for entity in VERDICT_TABLES
            for salesforce, d365, label in self._rows(
                f"SELECT salesforce_key, d365_key, label FROM {entity}_verdict WHERE verdict <> 'matched'"
            )
        }
        compared = {
            (entity, *keys): values
            for entity in ENTITIES
            for *keys, salesforce, d365 in self._rows(
                f"SELECT salesforce_key, d365_key, line_key, field, salesforce_compared, d365_compared FROM {entity}_difference"
            )
            for values in [(salesforce, d365)]
        }
        owners = {
            (entity, field): owner
            for entity in ENTITIES
            for field, owner in self._rows(f"SELECT DISTINCT field, owner FROM {entity}_difference")
        }
        return [
            self._break(row, labels, compared, owners) for row in self._ledger.breaks.find(state="open", limit=None)
        ]

    def _break(
        self,
        row: BreakRow,
        labels: Mapping[Any, str | None],
        compared: Mapping[Any, tuple[str | None, str | None]],
        owners: Mapping[tuple[str, str], str],
    ) -> page.Break:
        keys = (row.salesforce_key or None, row.d365_key or None)
        values = compared.get((row.entity, *keys, row.line_key or None, row.field), (None, None))
        cause = Cause(row.cause)
        return page.Break(
            entity=row.entity,
            company=row.company,
            salesforce_key=keys[0],
            d365_key=keys[1],
            label=labels.get((row.entity, *keys)) or "",
            field=row.field,
            salesforce_stored=row.salesforce_value,
            salesforce_compared=values[0],
            d365_stored=row.d365_value,
            d365_compared=values[1],
            owner=owners.get((row.entity, row.field), "salesforce" if keys[0] else "d365"),
            cause=row.cause,
            proposed_fix=cause.fix,
            detail=row.reason,
            first_seen=row.first_seen or datetime.now(UTC),
            state="open" if row.times_opened == 1 else "reopened",
            amount=row.amount,
            currency=row.currency,
            line_key=row.line_key or None,
            needs_person=cause.needs_a_person,
            identity=row.identity,
            assigned_to=row.owner,
            comment=row.comment,
        )

    def _deliveries(self, dry_run: bool) -> list[page.Delivery]:
        rows = (
            would_be_sent(self._bench, self._ledger, self._contracts)
            if dry_run
            else self._ledger.deliveries.find(DeliveryFilter(run_id=self._run_id), limit=None)
        )
        labels = {
            key: (label, amount, currency)
            for key, label, amount, currency in self._rows(
                "SELECT salesforce_key, label, salesforce_amount, currency FROM sales_order_verdict WHERE salesforce_key IS NOT NULL"
            )
        }
        made = []
        for row in rows:
            label, amount, currency = labels.get(salesforce_id_of(row.business_key), ("", None, ""))
            made.append(
                page.Delivery(
                    entity=row.entity,
                    operation=row.operation,
                    company=row.company,
                    business_key=row.business_key,
                    d365_key=row.d365_key,
                    label=label or "",
                    outcome=row.state.value,
                    message=row.reason,
                    amount=amount,
                    currency=currency or "",
                    effect=_EFFECTS[row.operation] if row.state is State.CONFIRMED else "",
                )
            )
        return made

    def _write_backs(self) -> list[page.WriteBack]:
        objects = {contract.entity: contract.salesforce.source for contract in self._contracts.values()}
        return [
            page.WriteBack(
                objects[row["entity"]],
                row["business_key"],
                "",
                row["request"].split(", "),
                row["outcome"],
                row["reason"] or "",
            )
            for row in self._ledger.attempts.to_salesforce_of_run(self._run_id)
        ]

    def _step_times(self, started: float) -> list[page.StepTime]:
        times, before = [], started
        for name, figures in sorted(self._steps.items(), key=lambda step: step[1]["_at"]):
            times.append(page.StepTime(name, figures["_at"] - before))
            before = figures["_at"]
        return times


def _run_started(instance: dg.DagsterInstance, run_id: str) -> float:
    record = instance.get_run_record_by_id(run_id)
    return record.start_time if record and record.start_time else datetime.now(UTC).timestamp()


def _point_latest(link: Path, target: Path) -> None:
    """`latest` is a link where the file system has links, else a copy."""
    temporary = link.with_name("latest.new")
    if temporary.is_symlink() or temporary.exists():
        temporary.unlink() if temporary.is_symlink() else shutil.rmtree(temporary)
    try:
        temporary.symlink_to(target.name)
    except OSError:
        shutil.copytree(target, temporary)
    if link.exists() and not link.is_symlink():
        shutil.rmtree(link)
    os.replace(temporary, link)


def _cents(amount: Decimal) -> str:
    """Money with two decimals at least, and every one that it has."""
    exact = amount.normalize()
    places = max(2, -int(exact.as_tuple().exponent))
    return f"{exact:.{places}f}"


_BRIDGE = """SELECT company, currency, cause, sum(difference), sum(records)::BIGINT, is_explained
FROM tie_out_bridge GROUP BY company, currency, cause, is_explained HAVING sum(difference) <> 0 ORDER BY ALL"""

_DUPLICATES = """SELECT verdict.entity, 'd365', verdict.company, verdict.d365_key, coalesce(verdict.label, ''), '', coalesce(verdict.reason, '')
FROM customer_verdict AS verdict WHERE verdict.verdict = 'duplicate' ORDER BY verdict.d365_key"""
