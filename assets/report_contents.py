"""What a run found: the rows of the report and the figures of the summary, from the workbench, the lake, the ledger and the run's own steps."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from assets.delivery import would_be_sent
from assets.landing import violations_of
from resources.evidence import CauseFact, ContractFact, CountFact, Facts, Manifest, SentFact, SweepFact, WrittenFact
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.breaks import BreakRow
from resources.ledger.delivery_queries import DeliveryFilter
from resources.workbench import Workbench, duckdb_connection, quarantine_key
from tieout import report as page
from tieout.breaks import Cause
from tieout.canonical import MONEY_TYPE
from tieout.contract import Contracts, Table
from tieout.delivery import State
from tieout.intended import salesforce_id_of
from tieout.settings import is_loopback

ENTITIES = ("customer", "sales_order")
VERDICT_TABLES = ("customer", "sales_order", "sales_order_line")
_EFFECTS = {"create": "created", "update": "updated"}


def facts_of(
    bench: Workbench,
    ledger: Ledger,
    contracts: Contracts,
    contract_texts: Mapping[str, str],
    run_id: str,
    *,
    dry_run: bool,
) -> Facts:
    """What the report of this run needs of the ledger, as it is now. The workbench has compared, and explained the tie-out where breaks were found."""
    sweeps = [
        SweepFact(table.system, table.name, sweep.rows_read, sweep.started_at, sweep.ended_at, sweep.complete)
        for table in (*contracts.tables("salesforce"), *contracts.tables("d365"))
        if (sweep := ledger.watermarks.latest_sweep(table.system, table.name)) is not None
    ]
    sent = (
        would_be_sent(bench, ledger, contracts)
        if dry_run
        else ledger.deliveries.find(DeliveryFilter(run_id=run_id), limit=None)
    )
    causes = bench.con.execute("SELECT * FROM sales_order_cause ORDER BY ALL").fetchall()
    return Facts(
        sweeps=sweeps,
        breaks=ledger.breaks.find(state="open", limit=None),
        deliveries=[
            SentFact(
                row.entity, row.operation, row.company, row.business_key, row.d365_key, row.state, row.reason or ""
            )
            for row in sent
        ],
        counts=[
            CountFact(entity, state, count)
            for entity in ("", *ENTITIES)
            for state, count in ledger.deliveries.counts(entity).items()
        ],
        write_backs=[
            WrittenFact(row["entity"], row["business_key"], row["request"], row["outcome"], row["reason"] or "")
            for row in ledger.attempts.to_salesforce_of_run(run_id)
        ],
        causes=[CauseFact(*row) for row in causes],
        contracts=[ContractFact(name, text) for name, text in sorted(contract_texts.items())],
    )


class ReportContents:
    """Everything that a report needs, from evidence alone. The workbench has compared customers and orders."""

    def __init__(self, bench: Workbench, lake: Lake, contracts: Contracts, facts: Facts, manifest: Manifest) -> None:
        self._bench = bench
        self._lake = lake
        self._contracts = contracts
        self._facts = facts
        self._manifest = manifest
        self._steps = manifest.steps

    def report(self) -> page.Report:
        """All of it as one value."""
        made_of, now = self._manifest, self._manifest.as_of
        return page.Report(
            run_id=made_of.run_id,
            as_of=now,
            sources=[self._source(system, made_of.addresses[system]) for system in ("salesforce", "d365")],
            tie_out=[page.TieOut(*row) for row in self._rows(_TIE_OUT)],
            months=[
                page.MonthTieOut(*row)
                for row in self._rows(
                    "SELECT company, currency, month, salesforce, d365, explained FROM tie_out ORDER BY ALL"
                )
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
            duplicates=self._duplicates(),
            ambiguities=[
                page.Ambiguity(entity, *row) for entity in ENTITIES for row in self._rows(_AMBIGUITIES[entity])
            ],
            quarantine=self._quarantine(),
            deliveries=self._deliveries(),
            delivery_counts=[
                page.DeliveryCount(each.entity, each.state, each.count)
                for each in self._facts.counts
                if each.entity and each.count
            ],
            write_backs=self._write_backs(),
            api_calls=[
                page.ApiCalls("salesforce", self.api_calls()["salesforce"], *self._salesforce_quota()),
                page.ApiCalls("d365", self.api_calls()["d365"]),
            ],
            steps=self._step_times(made_of.started),
            versions=[
                page.TableVersion(name, version, self._lake.row_count(name.split("/"), version))
                for name, version in sorted(self._bench.versions.items())
            ],
            duration_s=now.timestamp() - made_of.started,
            dry_run=made_of.dry_run,
        )

    def summary(self, made: page.Report, html: str, workbook: str) -> dict[str, Any]:
        """What `tieout run --json` prints, but for the duration of the whole command; `html` and `workbook` are the names of the files."""
        deliveries = {each.state: each.count for each in self._facts.counts if not each.entity}
        refused = deliveries.get("rejected", 0)
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
                    **{name: cents(getattr(row, name)) for name in ("salesforce", "d365", "difference", "explained")},
                }
                for row in made.tie_out
            ],
            "deliveries": {state: count for state, count in deliveries.items() if count},
            "changes": self._changes(),
            "open_breaks": made.headline.open_breaks,
            "waiting_for_a_person": waiting,
            "api_calls": self.api_calls(),
            "duration_s": round(made.duration_s or 0, 1),
            "dry_run": made.dry_run,
            **({"would_send": self._would_send(made)} if made.dry_run else {}),
            "report": html,
            "workbook": workbook,
        }

    def api_calls(self) -> dict[str, int]:
        """System → calls that the steps of this run made."""
        calls = {"salesforce": 0, "d365": 0}
        for figures in self._steps.values():
            if figures.get("system") in calls:
                calls[figures["system"]] += int(figures.get("api_calls", 0))
            for system in calls:
                calls[system] += int(figures.get(f"api_calls_{system}", 0))
        return calls

    def _salesforce_quota(self) -> tuple[int | None, int | None]:
        """Calls used and allowed, as Salesforce said last in this run."""
        told = [figures for figures in self._steps.values() if "quota_used" in figures]
        if not told:
            return None, None
        newest = max(told, key=lambda figures: figures["_at"])
        return int(newest["quota_used"]), int(newest["quota_allowed"])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._bench.con.execute(query).fetchall()
        return rows

    def _source(self, system: Any, address: str) -> page.Source:
        reads = [
            page.TableRead(each.table, each.rows_read, each.started_at, each.ended_at, each.complete)
            for each in self._facts.sweeps
            if each.system == system
        ]
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
        return {"/".join(table.lake_key): self._waiting(table) for table in tables}

    def _waiting(self, table: Table) -> int:
        version = self._quarantine_version(table)
        return 0 if version is None else self._lake.row_count(quarantine_key(table), version)

    def _quarantine_version(self, table: Table) -> int | None:
        return self._manifest.versions.get("/".join(quarantine_key(table)))

    def _quarantine(self) -> list[page.QuarantinedRow]:
        found: list[page.QuarantinedRow] = []
        tables = [*self._contracts.tables("salesforce"), *self._contracts.tables("d365")]
        with duckdb_connection() as con:
            for table in tables:
                version = self._quarantine_version(table)
                if version is None:
                    continue
                self._lake.register(con, "waiting", quarantine_key(table), version)
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
                f"SELECT salesforce_key, d365_key, label FROM {entity}_verdict WHERE verdict <> 'matched' ORDER BY ALL"
            )
        }
        compared = {
            (entity, *keys): values
            for entity in ENTITIES
            for *keys, salesforce, d365 in self._rows(
                f"SELECT salesforce_key, d365_key, line_key, field, salesforce_compared, d365_compared FROM {entity}_difference ORDER BY ALL"
            )
            for values in [(salesforce, d365)]
        }
        owners = {
            (entity, field): owner
            for entity in ENTITIES
            for field, owner in self._rows(f"SELECT DISTINCT field, owner FROM {entity}_difference ORDER BY ALL")
        }
        return [self._break(row, labels, compared, owners) for row in self._facts.breaks]

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
            first_seen=row.first_seen or self._manifest.as_of,
            state="open" if row.times_opened == 1 else "reopened",
            amount=row.amount,
            currency=row.currency,
            line_key=row.line_key or None,
            needs_person=cause.needs_a_person,
            identity=row.identity,
            assigned_to=row.owner,
            comment=row.comment,
        )

    def _deliveries(self) -> list[page.Delivery]:
        amounts = {
            key: (amount, currency)
            for key, amount, currency in self._rows(
                "SELECT salesforce_key, salesforce_amount, currency FROM sales_order_verdict WHERE salesforce_amount IS NOT NULL ORDER BY ALL"
            )
        }
        labels = self._labels_by_salesforce_id()
        made = []
        for row in self._facts.deliveries:
            salesforce_id = salesforce_id_of(row.business_key)
            amount, currency = amounts.get(salesforce_id, (None, ""))
            made.append(
                page.Delivery(
                    entity=row.entity,
                    operation=row.operation,
                    company=row.company,
                    business_key=row.business_key,
                    d365_key=row.d365_key,
                    label=labels.get((row.entity, salesforce_id), ""),
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
        labels = self._labels_by_salesforce_id()
        return [
            page.WriteBack(
                objects[row.entity],
                row.business_key,
                labels.get((row.entity, row.business_key), ""),
                row.fields.split(", "),
                row.outcome,
                row.reason,
            )
            for row in self._facts.write_backs
        ]

    def _labels_by_salesforce_id(self) -> dict[tuple[str, str], str]:
        return {
            (entity, key): label or ""
            for entity in ENTITIES
            for key, label in self._rows(
                f"SELECT salesforce_key, label FROM {entity}_verdict WHERE salesforce_key IS NOT NULL ORDER BY ALL"
            )
        }

    def _duplicates(self) -> list[page.Duplicate]:
        beside = "SELECT NULL AS _key, NULL AS keys WHERE false"
        if "PartyNumber" in self._contracts["customer"].d365.extra:
            beside = _LINKED_SIBLINGS
        return [page.Duplicate(*row) for row in self._rows(_DUPLICATES.format(beside=beside))]

    def _step_times(self, started: float) -> list[page.StepTime]:
        times, before = [], started
        for name, figures in sorted(self._steps.items(), key=lambda step: step[1]["_at"]):
            times.append(page.StepTime(name, figures["_at"] - before))
            before = figures["_at"]
        return times


def cents(amount: Decimal) -> str:
    """Money with two decimals at least, and every one that it has."""
    exact = amount.normalize()
    places = max(2, -int(exact.as_tuple().exponent))
    return f"{exact:.{places}f}"


_TIE_OUT = f"""SELECT company, currency, sum(salesforce)::{MONEY_TYPE}, sum(d365)::{MONEY_TYPE}, sum(explained)::{MONEY_TYPE}
FROM tie_out GROUP BY company, currency ORDER BY ALL"""

# What the crosswalk left open, without what turned out to be a group of orders.
_AMBIGUITIES = {
    "customer": "SELECT side, key, candidates, reason FROM crosswalk_customer_open ORDER BY ALL",
    "sales_order": """SELECT side, key, candidates, reason FROM crosswalk_sales_order_open
WHERE key NOT IN (SELECT salesforce_key FROM sales_order_group_row UNION SELECT d365_key FROM sales_order_group_row) ORDER BY ALL""",
}

_BRIDGE = """SELECT company, currency, cause, sum(difference), sum(records)::BIGINT, is_explained
FROM tie_out_bridge GROUP BY company, currency, cause, is_explained HAVING sum(difference) <> 0 ORDER BY ALL"""

_DUPLICATES = """SELECT verdict.entity, CASE WHEN verdict.d365_key IS NULL THEN 'salesforce' ELSE 'd365' END AS side, verdict.company,
    coalesce(verdict.d365_key, verdict.salesforce_key) AS key, coalesce(verdict.label, ''), coalesce(beside.keys, ''), coalesce(verdict.reason, '')
FROM (
    SELECT * FROM customer_verdict WHERE verdict = 'duplicate' UNION ALL BY NAME
    SELECT * FROM sales_order_verdict WHERE verdict = 'duplicate'
) AS verdict
LEFT JOIN ({beside}) AS beside ON verdict.entity = 'customer' AND beside._key = verdict.d365_lake_key
ORDER BY ALL"""

# Customer → the linked customers of the same party and company.
_LINKED_SIBLINGS = """SELECT second._key, string_agg(DISTINCT linked.d365_key, ', ' ORDER BY linked.d365_key) AS keys
FROM customer AS second
JOIN customer AS first ON first."PartyNumber" = second."PartyNumber" AND first._key <> second._key
    AND lower(first."dataAreaId") = lower(second."dataAreaId")
JOIN crosswalk_customer AS linked ON linked.d365_lake_key = first._key
GROUP BY second._key"""
