"""The log in Dataverse and in SharePoint: assets of jobs of their own, so that nothing of the way waits for them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from assets.integration_log import LOG_KEY
from resources.connections import LedgerResource, LogSinksResource
from resources.log_sinks import Pass, open_sink, send_waiting
from tieout.log_sinks.settings import SWITCHES, TITLES, SinkName

CHECK = "keeps_up"
BEHIND_AFTER = timedelta(hours=1)
"""A row that waits for longer than this is told as an error: short troubles are over by then."""


def log_sink_key(name: SinkName) -> list[str]:
    """The key of the asset of a sink."""
    return [*LOG_KEY, name]


def log_sink_of(name: SinkName) -> dg.AssetsDefinition:
    """The asset of one sink, and the check that it keeps up."""
    key, title = log_sink_key(name), TITLES[name]

    @dg.asset(
        key=key,
        group_name=catalogue.LOG,
        owners=[catalogue.OWNER],
        kinds={"postgres", name},
        # A pool of its own: a target that is slow holds up no other step.
        pool=name,
        deps=[LOG_KEY],
        check_specs=[
            dg.AssetCheckSpec(
                name=CHECK,
                asset=key,
                description=f"Nothing keeps the log from {title}, {title} refuses no row, and no row waits for more than an hour.",
            )
        ],
        description=(
            f"The integration log in {title}, each row once, from where the last run ended. Off until {SWITCHES[name]} is set (docs/logs.md). "
            "Its job is its own: the main job neither waits for it nor fails with it."
        ),
    )
    def log_sink(
        ledger: LedgerResource, log_sinks: LogSinksResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        settings = log_sinks.settings(name)
        if settings is None:
            yield outcome(f"off: {SWITCHES[name]} is not set", sent=0)
            yield dg.AssetCheckResult(asset_key=key, check_name=CHECK, passed=True, metadata={"off": True})
            return
        with (
            ledger.opened() as book,
            open_sink(settings, ca_bundle=log_sinks.ca_bundle(), home=log_sinks.home()) as sink,
        ):
            done = send_waiting(book, sink)
        yield outcome(
            _in_words(done),
            sent=done.sent,
            waiting=done.waiting.rows,
            refused=done.waiting.refused,
            position=done.position,
            calls=done.calls,
        )
        yield _check(key, done, datetime.now(UTC))

    return log_sink


def _in_words(done: Pass) -> str:
    words = f"{done.sent:,} sent, {done.waiting.rows:,} waiting, {done.waiting.refused:,} refused"
    return f"{words}. {done.problem}" if done.problem else words


def _check(key: list[str], done: Pass, now: datetime) -> dg.AssetCheckResult:
    oldest_at = done.waiting.oldest_at
    is_behind = oldest_at is not None and now - oldest_at > BEHIND_AFTER
    severity = dg.AssetCheckSeverity.ERROR if is_behind else dg.AssetCheckSeverity.WARN
    metadata: dict[str, int | str] = {
        "waiting": done.waiting.rows,
        "refused": done.waiting.refused,
        "problem": done.problem or "none",
    }
    if oldest_at is not None:
        metadata["oldest_waits_since"] = oldest_at.isoformat()
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CHECK,
        passed=not (is_behind or done.problem or done.waiting.refused),
        severity=severity,
        metadata=metadata,
    )
