"""The command `tieout`: its commands, and the one place where expected errors become an exit code.

Exit codes: 0 done; 1 done, but something needs a person; 2 could not run (one line says why and what to do).
"""

import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, cast

import typer

from tieout.errors import TieoutError

COULD_NOT_RUN = 2
SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT

# Typer exports only the children of its class for a wrong command line.
_WrongUsage = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Carries won Salesforce opportunities into Dynamics 365 F&O exactly once, and audits both systems on every run.",
)
deliveries_app = typer.Typer(no_args_is_help=True, help="What was and will be sent to D365.")
breaks_app = typer.Typer(no_args_is_help=True, help="Differences between the two systems that wait for a person.")
flows_app = typer.Typer(no_args_is_help=True, help="What may be sent: flows paused by people or cut off by a breaker.")
matches_app = typer.Typer(no_args_is_help=True, help="Accounts and customers that share no key and may be the same.")
periods_app = typer.Typer(no_args_is_help=True, help="Months of a company that are signed off.")
app.add_typer(deliveries_app, name="deliveries")
app.add_typer(flows_app, name="flows")
app.add_typer(breaks_app, name="breaks")
app.add_typer(matches_app, name="matches")
app.add_typer(periods_app, name="periods")
alerts_app = typer.Typer(no_args_is_help=True, help="What is out of bounds, and who is told of it.")
app.add_typer(alerts_app, name="alerts")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
Seed = Annotated[
    str | None,
    typer.Option(help="Fill empty sandboxes: generated[:ORDERS], adventureworks:DIR or csv:DIR."),
]

FlowName = Annotated[
    str, typer.Argument(metavar="FLOW", help="As `flows list` shows it, such as delivery/sales_order.")
]
OfCompany = Annotated[str | None, typer.Option("--company", help="Only this company; without it, all of them.")]
Why = Annotated[str, typer.Option("--comment", help="Why; kept with the decision.")]
OfReason = Annotated[str | None, typer.Option("--reason", help="Only with these words in the reason, in any case.")]
Identity = Annotated[str, typer.Argument(help="As `breaks list` shows it, or any beginning of it that is unique.")]


@app.command()
def run(
    seed: Seed = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send and write nothing.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read both systems whole, closed orders too, instead of what changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The main job once: extract, check, reconcile, deliver, write back, report."""
    from pipelines.cli.run import run_main

    raise typer.Exit(run_main(seed=seed, dry_run=dry_run, full=full, as_json=as_json))


@app.command()
def up(
    seed: Seed = None,
    port: Annotated[int, typer.Option(help="Port of the Dagster UI; a free one is taken if it is in use.")] = 3000,
    detach: Annotated[bool, typer.Option("--detach", help="Leave everything running; `tieout down` stops it.")] = False,
    run_first: Annotated[bool, typer.Option("--run", help="Run the main job once before the UI is shown.")] = False,
) -> None:
    """Postgres, sandboxes where no tenant is set, Dagster UI and daemon, the desk; Ctrl-C stops all of it."""
    from pipelines.cli.up import bring_up

    bring_up(seed=seed, port=port, detach=detach, run_first=run_first)


@app.command()
def down() -> None:
    """Stop what `tieout up --detach` left running."""
    from pipelines.cli.up import take_down

    take_down()


@app.command()
def desk(
    port: Annotated[int, typer.Option(help="Port of the desk; a free one is taken if it is in use.")] = 3001,
) -> None:
    """The web pages on which analysts work through breaks, matches and periods, until Ctrl-C."""
    from pipelines.cli.desk import serve

    serve(port=port)


@app.command()
def events(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need a proxy with TLS in front.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 3002,
) -> None:
    """The receiver of events and the listener to Salesforce's channels, without the desk, until Ctrl-C; the desk has both, too."""
    from pipelines.cli.events import serve

    serve(host=host, port=port)


@app.command()
def sandbox(
    seed: Seed = None,
    faults: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file of what goes wrong, by system or for both.")
    ] = None,
) -> None:
    """Both sandboxes alone, until Ctrl-C; prints the variables that point a client at them."""
    from pipelines.cli.up import serve_sandboxes

    serve_sandboxes(seed=seed, faults=faults)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check connections, permissions, the contracts' fields, quotas and clocks."""
    from pipelines.cli.doctor import examine

    raise typer.Exit(examine(as_json=as_json))


@app.command()
def report(
    as_of: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Make the report of an earlier run again: its id, or a beginning of it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The latest reconciliation: its figures, and where its HTML and XLSX are; with --as-of that of an earlier run, from the lake."""
    from pipelines.cli.report import show_as_of, show_latest

    raise typer.Exit(show_latest(as_json=as_json) if as_of is None else show_as_of(as_of, as_json=as_json))


@app.command()
def contracts(
    write: Annotated[
        bool, typer.Option("--write", help="Write docs/data-dictionary.md and contracts/schema.json.")
    ] = False,
) -> None:
    """Check the contracts; with --write, renew what is made from them."""
    from pipelines.cli.contracts import check

    check(write=write)


@app.command("salesforce-package")
def salesforce_package(
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write there instead of into `salesforce/` of the project.")
    ] = None,
) -> None:
    """Write the Salesforce project that the contracts need: custom fields, the platform event, the permission set."""
    from pipelines.cli.salesforce_package import write

    write(to=to)


@deliveries_app.command("list")
def deliveries_list(
    state: Annotated[str | None, typer.Option(help="Only deliveries in this state.")] = None,
    entity: Annotated[str | None, typer.Option(help="customer or sales_order.")] = None,
    company: OfCompany = None,
    reason: OfReason = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Deliveries, newest first."""
    from pipelines.cli.deliveries import list_deliveries

    list_deliveries(state=state, entity=entity, company=company, reason=reason, limit=limit, as_json=as_json)


@deliveries_app.command("show")
def deliveries_show(
    business_key: Annotated[str, typer.Argument(help="The Salesforce id, or the D365 number.")], as_json: AsJson = False
) -> None:
    """One delivery with every attempt."""
    from pipelines.cli.deliveries import show_delivery

    show_delivery(business_key, as_json=as_json)


@deliveries_app.command("redrive")
def deliveries_redrive(
    business_key: Annotated[str | None, typer.Argument(help="The Salesforce id, or the D365 number.")] = None,
    entity: Annotated[str | None, typer.Option(help="customer or sales_order.")] = None,
    company: OfCompany = None,
    reason: OfReason = None,
    every: Annotated[bool, typer.Option("--all", help="Every rejected delivery.")] = False,
    comment: Why = "",
) -> None:
    """Plan rejected deliveries again, after their cause was mended: one record, those that fit every option, or all."""
    from pipelines.cli.deliveries import redrive

    redrive(business_key, entity=entity, company=company, reason=reason, every=every, comment=comment)


@flows_app.command("list")
def flows_list(as_json: AsJson = False) -> None:
    """Every flow and company: paused, cut off, and what waits; ends with 1 where a breaker is open or deliveries were refused."""
    from pipelines.cli.flows import list_flows

    raise typer.Exit(list_flows(as_json=as_json))


@flows_app.command("pause")
def flows_pause(flow: FlowName, company: OfCompany = None, comment: Why = "") -> None:
    """Hold a flow back until it is resumed; what it would send queues, and nothing is lost."""
    from pipelines.cli.flows import pause

    pause(flow, company=company, comment=comment)


@flows_app.command("resume")
def flows_resume(flow: FlowName, company: OfCompany = None, comment: Why = "") -> None:
    """Lift the pause that was made with the same company, or with none; the next run sends what queued."""
    from pipelines.cli.flows import resume

    resume(flow, company=company, comment=comment)


@flows_app.command("close-breaker")
def flows_close_breaker(flow: FlowName, company: OfCompany = None, comment: Why = "") -> None:
    """Let a flow send again that its circuit breaker has cut off, without waiting for the probe."""
    from pipelines.cli.flows import close_breaker

    close_breaker(flow, company=company, comment=comment)


@breaks_app.command("list")
def breaks_list(
    entity: Annotated[str | None, typer.Option(help="customer, sales_order or sales_order_line.")] = None,
    company: OfCompany = None,
    cause: Annotated[str | None, typer.Option(help="Only this cause.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, largest amount first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Open breaks, largest amount first."""
    from pipelines.cli.breaks import list_breaks

    list_breaks(entity=entity, company=company, cause=cause, limit=limit, as_json=as_json)


@breaks_app.command("show")
def breaks_show(identity: Identity, as_json: AsJson = False) -> None:
    """One break."""
    from pipelines.cli.breaks import show_break

    show_break(identity, as_json=as_json)


@breaks_app.command("comment")
def breaks_comment(identity: Identity, text: str) -> None:
    """Write a comment to a break."""
    from pipelines.cli.breaks import comment_break

    comment_break(identity, text)


@breaks_app.command("assign")
def breaks_assign(identity: Identity, owner: str) -> None:
    """Give a break to a person or a team."""
    from pipelines.cli.breaks import assign_break

    assign_break(identity, owner)


@breaks_app.command("accept")
def breaks_accept(
    identity: Identity,
    until: Annotated[str, typer.Option(help="The last day on which nobody has to look at it, as 2026-12-31.")],
    comment: Why = "",
) -> None:
    """Leave a break alone until a day."""
    from pipelines.cli.breaks import accept_break

    accept_break(identity, until=until, comment=comment)


LeftKey = Annotated[str, typer.Argument(metavar="LEFT", help="As `matches list` shows it.")]
RightKey = Annotated[str, typer.Argument(metavar="RIGHT", help="As `matches list` shows it.")]


@matches_app.command("list")
def matches_list(
    state: Annotated[str, typer.Option(help="proposed, accepted, refused or withdrawn.")] = "proposed",
    kind: Annotated[str | None, typer.Option(help="link, duplicate_in_salesforce or duplicate_in_d365.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the surest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Proposals, the surest first."""
    from pipelines.cli.matches import list_matches

    list_matches(state=state, kind=kind, limit=limit, as_json=as_json)


@matches_app.command("show")
def matches_show(left: LeftKey, right: RightKey, as_json: AsJson = False) -> None:
    """One proposal, with what speaks for and against it."""
    from pipelines.cli.matches import show_match

    show_match(left, right, as_json=as_json)


@matches_app.command("accept")
def matches_accept(left: LeftKey, right: RightKey, comment: Why = "") -> None:
    """It is the same company: a link goes into the crosswalk, and the next run follows it."""
    from pipelines.cli.matches import decide

    decide(left, right, accept=True, comment=comment)


@matches_app.command("refuse")
def matches_refuse(left: LeftKey, right: RightKey, comment: Why = "") -> None:
    """It is not; the pair is not proposed again."""
    from pipelines.cli.matches import decide

    decide(left, right, accept=False, comment=comment)


OfMonth = Annotated[str, typer.Argument(metavar="MONTH", help="As 2026-10.")]
Company = Annotated[str, typer.Argument(metavar="COMPANY", help="The D365 company.")]


@periods_app.command("list")
def periods_list(as_json: AsJson = False) -> None:
    """Every signature, and whether it still holds."""
    from pipelines.cli.periods import list_periods

    list_periods(as_json=as_json)


@periods_app.command("sign")
def periods_sign(company: Company, month: OfMonth, comment: Why = "") -> None:
    """Sign a month of a company off, as the newest reconciliation has it."""
    from pipelines.cli.periods import sign

    sign(company, month, comment=comment)


@periods_app.command("reopen")
def periods_reopen(company: Company, month: OfMonth, comment: Why = "") -> None:
    """Take the signature of a month back; say why."""
    from pipelines.cli.periods import reopen

    reopen(company, month, comment=comment)


@alerts_app.command("list")
def alerts_list(
    every: Annotated[bool, typer.Option("--all", help="Also those that are over, newest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What was on at the last look, rules and sinks; ends with 1 where an alert is on."""
    from pipelines.cli.alerts import list_alerts

    raise typer.Exit(list_alerts(every=every, limit=limit, as_json=as_json))


@alerts_app.command("check")
def alerts_check(as_json: AsJson = False) -> None:
    """Judge every rule now and tell the sinks what is due; ends with 1 where an alert is on or a sink failed."""
    from pipelines.cli.alerts import check_alerts

    raise typer.Exit(check_alerts(as_json=as_json))


@alerts_app.command("test")
def alerts_test(sink: Annotated[str, typer.Argument(metavar="SINK", help="As `alerts list` shows it.")]) -> None:
    """Send a test notice to one sink."""
    from pipelines.cli.alerts import test_sink

    test_sink(sink)


def main() -> None:
    """Entry point of the command."""
    # What was started is stopped again, at whatever moment the signal comes.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(SIGNALLED + number))
    try:
        code = app(prog_name="tieout", standalone_mode=False)
    except TieoutError as problem:
        _complain(str(problem))
        code = COULD_NOT_RUN
    except _WrongUsage as problem:
        # Empty where a command was named without its own command: the help was printed instead.
        if problem.format_message():
            where = problem.ctx.command_path if problem.ctx else "tieout"
            _complain(f"{problem.format_message().rstrip('.')}. Its options are listed by: {where} --help")
        code = COULD_NOT_RUN
    except typer.Abort:
        code = INTERRUPTED
    except Exception:
        # A mistake of ours. Python would exit with 1, which says that the work is done.
        traceback.print_exc()
        code = COULD_NOT_RUN
    sys.exit(code)


def _complain(problem: str) -> None:
    """One line, whatever the problem's own form."""
    print(f"tieout: {' '.join(problem.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
