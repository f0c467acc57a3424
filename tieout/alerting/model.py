"""The shape of `alerts.yaml`: what is watched, and who is told. No secret stands in it, only names of variables that hold one."""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EVERY_CURRENCY = "*"
"""Stands in a map of amounts for every currency that is not named."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_AMOUNT = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}|\*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]\\]{1,64}@[^@\s<>,;:\"()\[\]\\]{1,255}")


def _duration(value: Any) -> timedelta:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a time: a whole number with m, h or d, such as 30m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _duration_or_never(value: Any) -> timedelta | None:
    return None if value == "never" else _duration(value)


def _amounts(value: Any) -> dict[str, Decimal]:
    if not isinstance(value, dict) or not value:
        raise ValueError('must be a group of currencies with an amount each, such as EUR: "10000"')
    for currency, amount in value.items():
        if not _CURRENCY.fullmatch(currency):
            raise ValueError(f"names no currency with {currency!r}. Write its three letters, or * for all others")
        if isinstance(amount, bool) or not _AMOUNT.fullmatch(str(amount)) or isinstance(amount, float):
            raise ValueError(f'must give {currency} a whole number or a quoted decimal, such as "10000.50"')
    return {currency: Decimal(str(amount)) for currency, amount in value.items()}


def _variable(value: Any) -> str:
    # What stands here may be the secret itself, by mistake: it is not repeated.
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError(
            "must be the name of an environment variable, in capitals; the address itself belongs in that variable"
        )
    return value


def _address(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not _ADDRESS.fullmatch(value):
        raise ValueError("holds something that is no e-mail address. Write name@host")
    return value


def _share(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise ValueError("must be a whole number from 1 to 100, in percent")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Amounts = Annotated[dict[str, Decimal], BeforeValidator(_amounts)]
Percent = Annotated[int, BeforeValidator(_share)]
VariableName = Annotated[str, BeforeValidator(_variable)]
Address = Annotated[str, BeforeValidator(_address)]
Names = Annotated[list[str], Field(min_length=1)]
Severity = Literal["warning", "critical"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _RuleBase(_Part):
    """What every rule has. `again_after`: how long an alert is quiet before it is told again; `None` (`never`): once is enough.

    `notify`: names of sinks; `None`: all of them.
    """

    severity: Severity = "warning"
    again_after: Annotated[timedelta | None, BeforeValidator(_duration_or_never)] = timedelta(days=1)
    notify: list[str] | None = None


class _BreakRule(_RuleBase):
    """`breaks: waiting`: open, for a person, and not accepted; `open`: every open one. Empty filters do not narrow."""

    breaks: Literal["waiting", "open"] = "waiting"
    companies: Names | None = None
    causes: Names | None = None
    entities: Names | None = None


class BreakAge(_BreakRule):
    """Breaks that were first seen more than `days` days ago. `money_at_least`: only those with so much money, by currency."""

    kind: Literal["break_age"]
    days: Annotated[int, Field(ge=1, le=3650)]
    money_at_least: Amounts | None = None


class BreakMoney(_BreakRule):
    """The money of open breaks of a company, in one currency, is more than its limit. Signs do not matter, currencies are never added."""

    kind: Literal["break_money"]
    limits: Amounts
    breaks: Literal["waiting", "open"] = "open"


class ErrorRate(_RuleBase):
    """More than `percent` of the attempts of the last `within` were refused, lost or not processed; with `at_least` attempts."""

    kind: Literal["error_rate"]
    percent: Percent
    within: Duration
    at_least: Annotated[int, Field(ge=1)] = 20


class InDoubt(_RuleBase):
    """Deliveries whose answer was lost longer ago than `longer_than`."""

    kind: Literal["in_doubt"]
    longer_than: Duration


class Quota(_RuleBase):
    """Less than `percent_left` of the Salesforce calls of 24 hours was left, by the newest reading."""

    kind: Literal["quota"]
    percent_left: Percent


class Freshness(_RuleBase):
    """A table that was not read completely for longer than `longer_than`. `tables` as `salesforce/account`; `None`: all of the contracts."""

    kind: Literal["freshness"]
    longer_than: Duration
    tables: Names | None = None


class RunMissing(_RuleBase):
    """No run of the whole way succeeded for longer than `longer_than`; dry runs do not count."""

    kind: Literal["run_missing"]
    longer_than: Duration


class RunFailed(_RuleBase):
    """The newest run of a job that has ended failed, or was cancelled."""

    kind: Literal["run_failed"]


Rule = Annotated[
    BreakAge | BreakMoney | ErrorRate | InDoubt | Quota | Freshness | RunMissing | RunFailed,
    Field(discriminator="kind"),
]


class SmtpSink(_Part):
    """E-mail over SMTP, by the server of `TIEOUT_SMTP_…`."""

    kind: Literal["smtp"]
    to: Annotated[list[Address], Field(min_length=1, max_length=50)]


class GraphSink(_Part):
    """E-mail over Microsoft Graph, by the application of `TIEOUT_GRAPH_…`."""

    kind: Literal["graph"]
    to: Annotated[list[Address], Field(min_length=1, max_length=50)]


class TeamsSink(_Part):
    """A channel of Microsoft Teams, by the webhook of a workflow. `url_from`: the variable that holds its address."""

    kind: Literal["teams"]
    url_from: VariableName = "TIEOUT_TEAMS_WEBHOOK_URL"


class SlackSink(_Part):
    """A channel of Slack, by an incoming webhook. `url_from`: the variable that holds its address."""

    kind: Literal["slack"]
    url_from: VariableName = "TIEOUT_SLACK_WEBHOOK_URL"


class AppriseSink(_Part):
    """Any other service that Apprise knows. `url_from`: the variable that holds its Apprise address."""

    kind: Literal["apprise"]
    url_from: VariableName = "TIEOUT_APPRISE_URL"


SinkSpec = Annotated[SmtpSink | GraphSink | TeamsSink | SlackSink | AppriseSink, Field(discriminator="kind")]

RULE_KINDS: Mapping[str, type[_RuleBase]] = MappingProxyType(
    {
        "break_age": BreakAge,
        "break_money": BreakMoney,
        "error_rate": ErrorRate,
        "in_doubt": InDoubt,
        "quota": Quota,
        "freshness": Freshness,
        "run_missing": RunMissing,
        "run_failed": RunFailed,
    }
)
SINK_KINDS: Mapping[str, type[_Part]] = MappingProxyType(
    {"smtp": SmtpSink, "graph": GraphSink, "teams": TeamsSink, "slack": SlackSink, "apprise": AppriseSink}
)


class AlertFile(_Part):
    """The whole file: rules and sinks by their names."""

    rules: dict[str, Rule]
    sinks: dict[str, SinkSpec] = {}

    def sinks_of(self, rule: str) -> list[str]:
        """Names of the sinks that are told of a rule's alerts; none where the rule is unknown."""
        known = self.rules.get(rule)
        if known is None:
            return []
        return list(self.sinks) if known.notify is None else list(dict.fromkeys(known.notify))
