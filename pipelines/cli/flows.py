"""`tieout flows`: list, pause, resume, close a breaker."""

from pipelines.cli import output
from pipelines.cli.ledger import opened_ledger, who
from resources.flow_figures import Standing, standings
from resources.ledger import Ledger
from tieout.errors import ConfigurationError
from tieout.flow import EVERY_COMPANY, Flow, flow_named

DONE, NEEDS_A_PERSON = 0, 1


def list_flows(*, as_json: bool) -> int:
    """Print how every flow stands; returns the exit code."""
    with opened_ledger() as ledger:
        found = standings(ledger)
    needed = any(standing.needs_a_person for standing in found)
    if as_json:
        output.print_json({"flows": [_figures(standing) for standing in found], "needs_a_person": needed})
    else:
        output.print_table(
            "Flows",
            ["flow", "company", "paused", "breaker", "queued", "in doubt", "refused", "why"],
            [_cells(standing) for standing in found],
            numbers=["queued", "in doubt", "refused"],
        )
    return NEEDS_A_PERSON if needed else DONE


def pause(flow: str, *, company: str | None, comment: str) -> None:
    """Pause a flow."""
    name, company = flow_named(flow), _company(company)
    with opened_ledger() as ledger:
        paused = ledger.flows.pause(name, company, who=who(), note=comment)
        reason = next(row.reason for row in ledger.flows.all(name) if row.company == company)
        known = ledger.deliveries.companies(name.delivered) if name.delivered and company else [company]
    if paused:
        _say(f"Paused: {_called(name, company)}. What it would send queues until: {_command('resume', name, company)}")
    else:
        _say(f"It was paused already: {_called(name, company)}, {reason}.")
    if company not in known:
        _say(
            f"Nothing was ever planned for {company}, so check how it is written. Companies: {', '.join(known) or 'none'}."
        )


def resume(flow: str, *, company: str | None, comment: str) -> None:
    """Lift a pause, and say which others are left."""
    name, company = flow_named(flow), _company(company)
    with opened_ledger() as ledger:
        resumed = ledger.flows.resume(name, company, who=who(), note=comment)
        left = _pauses_left(ledger, name, company)
    if resumed:
        _say(f"Resumed: {_called(name, company)}. {'' if left else 'The next run sends what queued.'}".rstrip())
    else:
        _say(f"There was no such pause: {_called(name, company)}.")
    for line in left:
        _say(line)


def close_breaker(flow: str, *, company: str | None, comment: str) -> None:
    """Close the breaker of a company, or every one of the flow."""
    name, company = flow_named(flow), _company(company)
    with opened_ledger() as ledger:
        closed = ledger.flows.close_breaker(name, company, who=who(), note=comment)
    for each in closed:
        _say(f"Closed: the circuit breaker of {_called(name, each)}. The next run sends what queued.")
    if not closed:
        _say(f"No circuit breaker was open: {_called(name, company)}.")


def _pauses_left(ledger: Ledger, flow: Flow, company: str) -> list[str]:
    """What still holds back the companies that were to be resumed."""
    concerned = [row for row in ledger.flows.all(flow) if row.paused and company in (EVERY_COMPANY, row.company)]
    if company != EVERY_COMPANY:
        concerned += [row for row in ledger.flows.all(flow) if row.paused and row.company == EVERY_COMPANY]
    return [
        f"Still held back: {_called(flow, row.company)}, {row.reason}. Lift it with: {_command('resume', flow, row.company)}"
        for row in concerned
    ]


def _company(given: str | None) -> str:
    """The company as deliveries have it; an empty variable of a script must not mean all of them."""
    if given is None:
        return EVERY_COMPANY
    if not given.strip():
        raise ConfigurationError("--company is empty. Leave it out for all companies, or name one.")
    return given.strip().casefold()


def _called(flow: Flow, company: str) -> str:
    return f"{flow} for {company or 'all companies'}"


def _command(action: str, flow: Flow, company: str) -> str:
    return f"tieout flows {action} {flow}" + (f" --company {company}" if company else "")


def _say(text: str) -> None:
    output.console.print(text, soft_wrap=True, highlight=False, markup=False)


def _figures(standing: Standing) -> dict[str, object]:
    waiting = standing.waiting
    return {
        "flow": standing.flow,
        "company": standing.company,
        "paused": bool(standing.paused),
        "pause": standing.paused,
        "breaker": standing.breaker,
        "breaker_reason": standing.breaker_words,
        "queued": waiting and waiting.queued,
        "in_doubt": waiting and waiting.in_doubt,
        "oldest_doubt": waiting and waiting.oldest_doubt,
        "refused": waiting and waiting.dead_letters,
    }


def _cells(standing: Standing) -> list[object]:
    figures = _figures(standing)
    return [
        standing.flow,
        standing.company or "all",
        "yes" if standing.paused else "no",
        standing.breaker.replace("_", " "),
        *(figures[name] for name in ("queued", "in_doubt", "refused")),
        "; ".join(words for words in (standing.paused, standing.breaker_words) if words),
    ]
