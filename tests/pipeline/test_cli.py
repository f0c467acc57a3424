"""The command line: what it prints where, its exit codes, and what a person can do to deliveries and breaks."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.ledger import Ledger
from sandbox.salesforce.ids import make_id
from tests.conftest import PROJECT
from tests.pipeline.business import customer_of
from tests.pipeline.installation import Finished, Installation, Run, fresh_home
from tests.pipeline.reading import HEADERS, LINES, effects_of

DONE, NEEDS_A_PERSON, COULD_NOT_RUN = 0, 1, 2
NOBODY = "postgresql://nobody@127.0.0.1:1/nothing"

# Says on standard error which of the heavy libraries `tieout --help` has loaded.
_HELP = """
import sys
sys.argv = ["tieout", "--help"]
from pipelines.cli.main import main
try:
    main()
finally:
    print([name for name in ("dagster", "duckdb", "pyarrow", "sqlalchemy", "pandas") if name in sys.modules], file=sys.stderr)
"""


@pytest.fixture(scope="module")
def first_run(installation: Installation) -> Run:
    return installation.run()


@pytest.fixture(scope="module")
def used(installation: Installation, first_run: Run) -> Installation:  # noqa: ARG001 it has happened
    """The installation after its first run."""
    return installation


@pytest.fixture(scope="module")
def empty() -> Iterator[Installation]:
    """A home in which nothing was ever done, and nothing may be done: its database does not exist."""
    with fresh_home(NOBODY) as home:
        yield home


def complaint_of(finished: Finished) -> str:
    """The one line of a command that could not run."""
    assert finished.code == COULD_NOT_RUN, finished.stderr
    assert finished.stdout == ""
    said = [line for line in finished.stderr.splitlines() if not line.startswith("·")]
    assert len(said) == 1, finished.stderr
    assert said[0].startswith("tieout: ")
    return said[0].removeprefix("tieout: ")


# --- help and wrong command lines ---------------------------------------------------------------------------------------


def test_help_needs_none_of_the_heavy_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HELP], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=20
    )

    assert done.returncode == DONE
    assert done.stderr.splitlines()[-1] == "[]"
    for command in (
        "run",
        "up",
        "down",
        "sandbox",
        "doctor",
        "report",
        "contracts",
        "deliveries",
        "flows",
        "breaks",
        "desk",
        "periods",
    ):
        assert command in done.stdout


@pytest.mark.parametrize("command", [["up", "--detach"], ["run"]])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TIEOUT_MAIN_SCHEDULE", "every day", "TIEOUT_MAIN_SCHEDULE is 'every day'. Write a cron expression"),
        ("TIEOUT_D365_EXPORT_PROJECTS", "orders=TIEOUT", "names orders, which the lake does not have"),
    ],
)
def test_a_wrong_variable_is_named_before_anything_starts(
    empty: Installation, command: list[str], name: str, value: str, words: str
) -> None:
    finished = empty.tieout(*command, environment={name: value, "TIEOUT_COMPANIES": "usmf"})

    assert words in complaint_of(finished)
    assert "Starting" not in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconcile"], "No such command 'reconcile'"),
        (["run", "--dryrun"], "No such option: --dryrun"),
        (["breaks", "show"], "Missing argument 'identity'"),
        (["deliveries", "list", "--state", "lost"], "There is no state 'lost'. There are: planned, claimed,"),
        (["breaks", "list", "--cause", "unknown"], "There is no cause 'unknown'. There are: not_delivered_yet,"),
        (
            ["breaks", "list", "--entity", "order"],
            "There is no entity 'order'. There are: customer, sales_order, sales_order_line.",
        ),
        (["breaks", "list", "--company", " "], "--company is empty. Leave it out, or say which."),
        (
            ["matches", "list", "--state", "open"],
            "There is no state 'open'. There are: proposed, accepted, refused, withdrawn.",
        ),
        (["matches", "list", "--kind", "pair"], "There is no kind of match 'pair'. There are: link,"),
        (["deliveries", "redrive"], "Name one record, or a filter (--entity, --company, --reason), or say --all."),
        (["deliveries", "list", "--limit", "-5"], "Invalid value for '--limit'"),
        (["breaks", "list", "--limit", "0"], "Invalid value for '--limit'"),
        (["breaks", "accept", "b1", "--until", "soon"], "--until 'soon' is no day. Write it as 2026-12-31."),
        (["breaks", "accept", "b1", "--until", "2001-01-01"], "Accept it until a day from "),
        (["periods", "reopen", "usmf", "2026-10"], "Say why with --comment"),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(empty: Installation, arguments: list[str], words: str) -> None:
    assert words in complaint_of(empty.called(*arguments))


def test_a_process_ends_with_the_same_line_and_code(empty: Installation) -> None:
    called, process = (run("run", "--dryrun") for run in (empty.called, empty.tieout))

    assert (called.code, called.stdout, called.stderr) == (process.code, process.stdout, process.stderr)


# --- an environment that cannot be used ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"D365_URL": "https://contoso.example"}, "D365_URL is set, D365_CLIENT_SECRET is not."),
        ({"SALESFORCE_INSTANCE_URL": "http://contoso.example"}, "SALESFORCE_INSTANCE_URL uses plain http. Use https"),
        ({"TIEOUT_DATABASE_URL": "mysql://contoso.example/x"}, "TIEOUT_DATABASE_URL is not a Postgres address."),
    ],
)
def test_an_environment_that_contradicts_itself_stops_the_start(
    empty: Installation, environment: dict[str, str], words: str
) -> None:
    assert words in complaint_of(empty.called("run", environment=environment))


def test_a_database_that_cannot_be_reached_is_named_without_its_password(empty: Installation) -> None:
    address = NOBODY.replace("nobody@", "nobody:topsecret@")

    complaint = complaint_of(empty.called("deliveries", "list", environment={"TIEOUT_DATABASE_URL": address}))

    assert "127.0.0.1" in complaint
    assert "topsecret" not in complaint


def test_a_run_that_finds_no_database_stops_what_it_had_started(empty: Installation) -> None:
    assert "cannot be reached. Check TIEOUT_DATABASE_URL." in complaint_of(empty.called("run"))
    assert not list(empty.home.glob("run/*"))


def test_a_seed_beside_two_tenants_is_refused(used: Installation) -> None:
    finished = used.called("run", "--seed", "generated:40", environment=tenants(used))

    assert complaint_of(finished) == (
        "--seed fills the sandboxes, and both tenants are set. Unset SALESFORCE_INSTANCE_URL and D365_URL."
    )


def test_a_seed_that_cannot_be_read_fills_nothing(empty: Installation) -> None:
    """Also where the sandboxes were started before, as those of this home were: empty they are all the same."""
    finished = empty.tieout("run", "--seed", "generated:many")

    assert finished.code == COULD_NOT_RUN
    assert "is no number of opportunities" in finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("tieout: The sandboxes could not be filled")
    assert not list(empty.home.glob("run/*"))


def test_a_seed_has_no_effect_on_sandboxes_that_are_filled_and_says_so(used: Installation) -> None:
    finished = used.called("run", "--seed", "generated:40", environment={"TIEOUT_DATABASE_URL": NOBODY})

    assert finished.code == COULD_NOT_RUN
    assert "· The sandboxes were filled before; --seed has no effect." in finished.stderr


# --- doctor, report, contracts ------------------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_wrong_with_a_good_installation(used: Installation) -> None:
    finished = used.called("doctor", "--json")

    assert finished.code == DONE, finished.stderr
    assert finished.json["ok"]
    assert not [each["what"] for each in finished.json["findings"] if each["status"] == "fail"]


def test_the_doctor_looks_at_the_rest_after_a_wrong_secret_and_a_missing_field(
    used: Installation, tmp_path: Path
) -> None:
    contracts = shutil.copytree(PROJECT / "contracts", tmp_path / "contracts")
    text = (contracts / "customer.yaml").read_text()
    (contracts / "customer.yaml").write_text(text.replace("d365: PrimaryContactPhone", "d365: PrimaryContactFone"))
    environment = tenants(used) | {"SALESFORCE_CLIENT_SECRET": "wrong", "TIEOUT_CONTRACTS": str(contracts)}

    finished = used.called("doctor", "--json", environment=environment)

    assert finished.code == NEEDS_A_PERSON
    advice = {each["what"]: each["advice"] for each in finished.json["findings"] if not each["ok"]}
    assert set(advice) == {"Salesforce", "D365 fields"}
    assert "PrimaryContactFone" in advice["D365 fields"]
    assert "customer.yaml:" in advice["D365 fields"]
    assert "wrong" not in finished.stdout.split('"found"')[0]


def test_the_report_repeats_the_summary_and_the_exit_code_of_the_latest_run(used: Installation, first_run: Run) -> None:
    finished = used.called("report", "--json")

    assert finished.code == NEEDS_A_PERSON
    assert finished.json | {"duration_s": 0} == first_run.summary | {"duration_s": 0}


def test_the_report_for_people_names_the_files(used: Installation, first_run: Run) -> None:
    finished = used.called("report")

    assert first_run.summary["report"] in finished.stdout
    assert first_run.summary["workbook"] in finished.stdout
    assert first_run.summary["headline"] in finished.stdout


def test_there_is_no_report_before_the_first_run(empty: Installation) -> None:
    assert "Make one with: tieout run" in complaint_of(empty.called("report", "--json"))


def test_contracts_that_are_right_are_named(empty: Installation) -> None:
    finished = empty.called("contracts")

    assert finished.code == DONE
    assert "are right: customer, product, sales_order." in finished.stdout


def test_a_wrong_contract_is_refused_with_file_and_line(empty: Installation, tmp_path: Path) -> None:
    contracts = shutil.copytree(PROJECT / "contracts", tmp_path / "contracts")
    lines = (contracts / "customer.yaml").read_text().splitlines()
    at = next(number for number, line in enumerate(lines, start=1) if "owner: salesforce" in line)
    lines[at - 1] = lines[at - 1].replace("salesforce", "sales")
    (contracts / "customer.yaml").write_text("\n".join(lines))

    complaint = complaint_of(empty.called("contracts", environment={"TIEOUT_CONTRACTS": str(contracts)}))

    assert f"customer.yaml:{at}:" in complaint


# --- deliveries ---------------------------------------------------------------------------------------------------------


def test_deliveries_are_listed_and_counted_by_state(used: Installation, first_run: Run) -> None:
    finished = used.tieout("deliveries", "list", "--state", "rejected", "--json")

    assert finished.code == DONE
    [rejected] = finished.json["deliveries"]
    assert rejected["business_key"] == used.planted["customer_on_hold"][0]
    assert "is on hold" in rejected["reason"]
    counts = {state: count for state, count in finished.json["counts"].items() if count}
    assert counts == first_run.summary["deliveries"]


def test_a_table_for_people_keeps_keys_whole(used: Installation) -> None:
    finished = used.called("deliveries", "list")

    for delivery in used.called("deliveries", "list", "--json").json["deliveries"]:
        assert delivery["d365_key"] in finished.stdout


@pytest.mark.parametrize("prefix", ["", "T-"], ids=["Salesforce id", "D365 number"])
def test_a_delivery_is_shown_with_every_attempt(used: Installation, prefix: str) -> None:
    [key] = used.planted["customer_on_hold"]

    shown = used.called("deliveries", "show", f"{prefix}{key}", "--json").json

    assert [each["state"] for each in shown["deliveries"]] == ["rejected"]
    assert [each["outcome"] for each in shown["attempts"]] == ["rejected"]
    assert "is on hold" in shown["attempts"][0]["reason"]


def test_a_delivery_that_does_not_exist_is_answered_with_where_to_look(used: Installation) -> None:
    complaint = complaint_of(used.called("deliveries", "show", "006000000000000AAA"))

    assert complaint.startswith("There is no delivery of 006000000000000AAA. `tieout deliveries list`")


def test_what_was_not_refused_cannot_be_sent_again(used: Installation, first_run: Run) -> None:
    delivered = effects_of(first_run.d365, HEADERS, "created")[0]["key"]

    assert "No rejected delivery" in complaint_of(used.called("deliveries", "redrive", delivered))


# --- breaks -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed(used: Installation) -> list[dict[str, Any]]:
    """The open breaks."""
    finished = used.called("breaks", "list", "--json", "--limit", "1000")
    assert finished.code == DONE
    return list(finished.json["breaks"])


def test_breaks_are_listed_largest_amount_first(listed: list[dict[str, Any]], first_run: Run) -> None:
    amounts = [float(each["amount"]) for each in listed if each["amount"] is not None]

    assert len(listed) == first_run.summary["open_breaks"]
    assert amounts == sorted(amounts, reverse=True)


def test_a_break_is_found_by_the_characters_that_the_list_shows(
    used: Installation, listed: list[dict[str, Any]]
) -> None:
    table = used.called("breaks", "list").stdout
    wanted = listed[0]
    shown = next(
        line.split()[0] for line in table.splitlines() if wanted["identity"].startswith(line[:12].strip() or "-")
    )

    found = used.called("breaks", "show", shown, "--json")

    assert found.code == DONE
    assert found.json["identity"] == wanted["identity"]


def test_a_beginning_that_fits_several_breaks_is_refused(used: Installation, listed: list[dict[str, Any]]) -> None:
    beginnings = [each["identity"][0] for each in listed]
    several = next(each for each in beginnings if beginnings.count(each) > 1)

    assert "More than one break begins with" in complaint_of(used.called("breaks", "show", several))
    assert "There is no break" in complaint_of(used.called("breaks", "show", "no-such-break"))


def test_owner_and_comment_of_a_break_are_kept_with_who_gave_them(
    used: Installation, listed: list[dict[str, Any]]
) -> None:
    chosen = next(each for each in listed if each["cause"] == "duplicate")["identity"]

    assert used.called("breaks", "assign", chosen[:12], "anna").code == DONE
    assert used.called("breaks", "comment", chosen[:12], "will be merged in May").code == DONE

    with Ledger.opened(used.database_url or "") as ledger:
        kept = ledger.breaks.get(chosen)
        decisions = ledger.decisions.of("break", chosen)
    assert (kept.owner, kept.comment) == ("anna", "will be merged in May")
    assert [each.action for each in decisions] == ["assign", "comment"]
    assert all(each.who for each in decisions)


# --- a refused delivery, mended and sent again --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redriven(used: Installation, first_run: Run, listed: list[dict[str, Any]]) -> Finished:  # noqa: ARG001 they come first
    """Somebody releases the customer in D365 and drives the refused delivery again."""
    [key] = used.planted["customer_on_hold"]
    [opportunity] = first_run.before.salesforce("SELECT AccountId FROM Opportunity WHERE Id = ?", key)
    customer = customer_of(first_run.before, opportunity["AccountId"])
    path = f"CustomersV3(dataAreaId='{customer['dataAreaId']}',CustomerAccount='{customer['CustomerAccount']}')"
    used.changed_in_d365(path, OnHoldStatus="No")
    return used.called("deliveries", "redrive", key, "--comment", "released by credit control")


@pytest.fixture(scope="module")
def next_run(used: Installation, redriven: Finished) -> Run:
    assert redriven.code == DONE, redriven.stderr
    return used.run()


def test_a_redriven_delivery_is_planned_again(redriven: Finished) -> None:
    assert "Planned again: 1. The next run sends them." in redriven.stdout


def test_the_next_run_sends_it_once_with_all_lines(used: Installation, next_run: Run) -> None:
    [key] = used.planted["customer_on_hold"]
    [sold] = next_run.before.salesforce(
        "SELECT count(*) AS lines FROM OpportunityLineItem WHERE OpportunityId = ?", key
    )

    [order] = effects_of(next_run.d365, HEADERS, "created")
    assert order["values"]["CustomersOrderReference"] == key
    assert len(effects_of(next_run.d365, LINES, "created")) == sold["lines"]


def test_both_attempts_and_the_decision_are_kept(used: Installation, next_run: Run) -> None:  # noqa: ARG001
    [key] = used.planted["customer_on_hold"]
    shown = used.called("deliveries", "show", key, "--json").json
    [delivery] = shown["deliveries"]
    with Ledger.opened(used.database_url or "") as ledger:
        [decision] = ledger.decisions.of("delivery", str(delivery["id"]))

    assert [each["outcome"] for each in shown["attempts"] if each["direction"] == "to_d365"] == [
        "rejected",
        "confirmed",
    ]
    assert (decision.action, decision.note) == ("redrive", "released by credit control")


def test_owner_and_comment_outlive_the_next_run(
    used: Installation,
    listed: list[dict[str, Any]],
    next_run: Run,  # noqa: ARG001
) -> None:
    chosen = next(each for each in listed if each["cause"] == "duplicate")["identity"]

    row = used.called("breaks", "show", chosen[:12], "--json").json
    assert (row["state"], row["owner"], row["comment"]) == ("open", "anna", "will be merged in May")


# --- a business in order ------------------------------------------------------------------------------------------------


def test_a_run_that_leaves_nothing_for_a_person_exits_with_0(
    tmp_path: Path, prepared_database: Callable[[], str]
) -> None:
    """One account, one product, one won opportunity: the order is made, and that is all that there was to do."""
    account, product, opportunity = (make_id(prefix, 7) for prefix in ("001", "01t", "006"))
    tables = {
        "Account": f"Id,Name,CurrencyIsoCode,AccountNumber,ERP_Company__c,BillingCountry\n{account},Ace Bikes,USD,C1,usmf,US\n",
        "Product2": f"Id,Name,ProductCode,QuantityUnitOfMeasure,IsActive\n{product},Bell,B-1,Each,true\n",
        "Opportunity": "Id,AccountId,Name,StageName,Amount,CloseDate,CurrencyIsoCode,ERP_Company__c\n"
        f"{opportunity},{account},Two bells,Closed Won,19.98,2026-01-05,USD,usmf\n",
        "OpportunityLineItem": "OpportunityId,Product2Id,ProductCode,Quantity,UnitPrice,TotalPrice,SortOrder,CurrencyIsoCode\n"
        f"{opportunity},{product},B-1,2,9.99,19.98,1,USD\n",
        "Companies": "DataArea,Name\nusmf,Contoso\n",
        "LegalEntities": "LegalEntityId,Name\nusmf,Contoso\n",
        "CustomerGroups": "dataAreaId,CustomerGroupId\nusmf,30\n",
        "ReleasedProductsV2": "dataAreaId,ItemNumber,ProductNumber,SalesUnitSymbol\nusmf,B-1,B-1,ea\n",
    }
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text)

    with fresh_home(prepared_database()) as shop:
        finished = shop.called("run", "--seed", f"csv:{tmp_path}", "--json")

    assert finished.code == DONE, finished.stderr
    assert not finished.json["needs_a_person"]
    assert finished.json["changes"]["d365"]["sales_order"] == {"created": 1, "updated": 0}
    assert finished.json["changes"]["d365"]["customer"] == {"created": 1, "updated": 0}


def tenants(installation: Installation) -> dict[str, str]:
    """The variables of somebody who has a Salesforce and a D365 of their own: the sandboxes' addresses."""
    from pipelines.services import processes, sandboxes
    from pipelines.services.home import Home

    services = {name: processes.running(Home(installation.home), f"sandbox-{name}") for name in sandboxes.PORTS}
    return sandboxes.client_environment({name: service for name, service in services.items() if service})
