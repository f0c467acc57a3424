"""`tieout periods`: list, sign, reopen."""

from dataclasses import asdict

from pipelines.cli import output
from pipelines.cli.ledger import opened_ledger, who
from resources.lake import Lake
from resources.signing import sign_period
from tieout.errors import ConfigurationError
from tieout.settings import Settings


def list_periods(*, as_json: bool) -> None:
    """Print the newest signature of every month that has one."""
    with opened_ledger() as ledger:
        found = list(ledger.periods.latest().values())
    if as_json:
        output.print_json({"periods": [asdict(each) for each in found]})
        return
    output.print_table(
        f"Periods: {len(found):,}",
        ["month", "company", "state", "signed by", "signed at", "note", "reopened by", "why"],
        [
            [
                each.month,
                each.company,
                each.state,
                each.signed_by,
                f"{each.signed_at:%Y-%m-%d %H:%M}",
                each.note,
                each.reopened_by,
                each.reopened_reason,
            ]
            for each in found
        ],
    )


def sign(company: str, month: str, *, comment: str) -> None:
    """Sign a month of a company off."""
    lake = Lake(Settings.from_environment().lake_url)
    with opened_ledger() as ledger:
        signed = sign_period(lake, ledger, company, month, who=who(), note=comment)
    output.console.print(
        f"{signed.month} of {signed.company} is signed off: {signed.snapshot['rows']:,} orders.", highlight=False
    )


def reopen(company: str, month: str, *, comment: str) -> None:
    """Take a signature back."""
    if not comment.strip():
        raise ConfigurationError("Say why with --comment: whoever signed it will ask.")
    with opened_ledger() as ledger:
        ledger.periods.reopen(company.lower(), month, who=who(), reason=comment)
    output.console.print(f"{month} of {company.lower()} is open again.", highlight=False)
