"""A field of a contract that the system does not have: refused with file, line and what to do, before anything is sent."""

import json
import shutil
from pathlib import Path

from tests.bad_input.books import Books
from tests.bad_input.conftest import Install
from tests.conftest import PROJECT

CONTRACTS = PROJECT / "contracts"


def line_of(file: Path, text: str) -> int:
    """The number of the one line that holds `text`."""
    [number] = [number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line]
    return number


def test_a_field_that_salesforce_does_not_show_is_named_with_its_line_by_run_and_doctor_alike(install: Install) -> None:
    """Field-level security hides a field from the integration user; to the API it then does not exist."""
    books = Books()
    books.deal(customer="C-1")
    installation = install(books)
    salesforce, d365 = installation.systems.salesforce, installation.systems.d365
    salesforce.post("settings", hidden_fields=["Account.Email__c"])
    place = f"contracts/customer.yaml:{line_of(CONTRACTS / 'customer.yaml', 'salesforce: Email__c')}"

    run = installation.run()
    doctor = installation.command("doctor", "--json")

    assert not run.success
    assert run.problem == (
        f"{place}: Salesforce Account has no field Email__c. Correct the contract, or create it, or make it visible to the "
        "integration user."
    )
    assert d365.orders_made() == []
    assert doctor.returncode == 1
    findings = json.loads(doctor.stdout)["findings"]
    assert [each["advice"] for each in findings if not each["ok"]] == [run.problem]

    salesforce.post("settings", hidden_fields=[])
    assert installation.run(only=["salesforce/account"]).success


def test_a_property_that_d365_does_not_have_is_named_with_its_line(install: Install, tmp_path: Path) -> None:
    books = Books()
    books.deal(customer="C-1")
    installation = install(books)
    contracts = tmp_path / "contracts"
    shutil.copytree(CONTRACTS, contracts)
    customer = contracts / "customer.yaml"
    customer.write_text(customer.read_text().replace("d365: PrimaryContactEmail", "d365: PrimaryContactMail"))

    run = installation.run({"TIEOUT_CONTRACTS": str(contracts)})

    assert not run.success
    place = f"contracts/customer.yaml:{line_of(customer, 'd365: PrimaryContactMail')}"
    assert run.problem == (
        f"{place}: D365 CustomersV3 has no property PrimaryContactMail. Did you mean PrimaryContactEmail? Otherwise add it by an "
        "extension of the entity."
    )
    assert installation.systems.d365.orders_made() == []
