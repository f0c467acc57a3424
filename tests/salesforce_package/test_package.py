"""The Salesforce project that the contracts make: what is committed, what Salesforce would refuse, and what the integration user may do."""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.main import main
from sandbox.salesforce.catalogue import CATALOGUE
from tests.conftest import PROJECT
from tieout.contract import Contracts, load_contracts, written_columns
from tieout.errors import ContractError
from tieout.salesforce_package import package_files
from tieout.salesforce_package.fields import CustomField
from tieout.salesforce_package.metadata_xml import NAMESPACE, document

NS = f"{{{NAMESPACE}}}"
OBJECTS = "force-app/main/default/objects/"
DESCRIBED_AS = {
    "Text": "string",
    "Email": "email",
    "Picklist": "picklist",
    "Currency": "currency",
    "Date": "date",
    "DateTime": "datetime",
}
EVENT = "ERP_Order_Status__e"
# Metadata API Developer Guide, "Platform Event Fields".
TYPES_OF_EVENTS = {"Text", "Number", "Checkbox", "Date", "DateTime", "LongTextArea"}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return package_files(load_contracts(PROJECT / "contracts"))


@pytest.fixture(scope="module")
def fields(files: dict[str, str]) -> dict[tuple[str, str], ElementTree.Element]:
    """(object, field) → its file's root."""
    return {
        (path.split("/")[4], path.split("/")[6].removesuffix(".field-meta.xml")): ElementTree.fromstring(text)
        for path, text in files.items()
        if path.endswith(".field-meta.xml")
    }


@pytest.fixture(scope="module")
def permission_set(files: dict[str, str]) -> ElementTree.Element:
    return ElementTree.fromstring(
        files["force-app/main/default/permissionsets/Tieout_Integration.permissionset-meta.xml"]
    )


def text_of(element: ElementTree.Element, name: str) -> str | None:
    return element.findtext(f"{NS}{name}")


def names_in(element: ElementTree.Element) -> list[str]:
    return [child.tag.removeprefix(NS) for child in element]


def test_what_is_committed_is_what_the_contracts_make(files: dict[str, str]) -> None:
    """Make it anew with: tieout salesforce-package"""
    folder = PROJECT / "salesforce"
    committed = {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8")
        for file in folder.rglob("*")
        if file.is_file() and file.name != "README.md"
    }

    assert committed == files


def test_the_project_is_one_that_the_salesforce_cli_takes(files: dict[str, str]) -> None:
    project = json.loads(files["sfdx-project.json"])

    assert [each for each in project["packageDirectories"] if each["default"]] == [
        {"path": "force-app", "default": True}
    ]
    assert re.fullmatch(r"\d\d\.0", project["sourceApiVersion"])
    assert 50 <= float(project["sourceApiVersion"]) <= 68


def test_every_file_is_well_formed_and_named_after_what_is_in_it(files: dict[str, str]) -> None:
    for path, text in files.items():
        if not path.endswith("-meta.xml"):
            continue
        root = ElementTree.fromstring(text)
        name, kind = Path(path).name.removesuffix("-meta.xml").rsplit(".", 1)
        assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
        assert (
            root.tag == NS + {"field": "CustomField", "object": "CustomObject", "permissionset": "PermissionSet"}[kind]
        )
        if kind == "field":
            assert text_of(root, "fullName") == name
        if kind == "object":
            assert Path(path).parent.name == name


def test_elements_stand_in_the_order_in_which_salesforce_writes_them(
    fields: dict[tuple[str, str], ElementTree.Element], permission_set: ElementTree.Element
) -> None:
    for root in fields.values():
        first, *others = names_in(root)
        assert first == "fullName"
        assert others == sorted(set(others))
    assert names_in(permission_set) == sorted(names_in(permission_set))
    for part in permission_set:
        assert names_in(part) == sorted(set(names_in(part)))


def test_every_field_keeps_the_rules_of_the_metadata_api(fields: dict[tuple[str, str], ElementTree.Element]) -> None:
    for (sobject, name), root in fields.items():
        kind = text_of(root, "type")
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*__c", name)
        assert len(name) <= 43
        assert 0 < len(text_of(root, "label") or "") <= 40
        assert len(text_of(root, "description") or "") <= 1000
        assert (text_of(root, "length") is not None) == (kind == "Text")
        assert 1 <= int(text_of(root, "length") or 1) <= 255
        assert (text_of(root, "precision") is not None) == (kind in {"Currency", "Number"})
        assert int(text_of(root, "scale") or 0) <= int(text_of(root, "precision") or 0) <= 18
        assert text_of(root, "externalId") == "false" or kind in {"Text", "Number", "Email"}
        if sobject == EVENT:
            assert kind in TYPES_OF_EVENTS
    external = Counter(sobject for (sobject, _), root in fields.items() if text_of(root, "externalId") == "true")
    assert max(external.values()) <= 25


def test_links_are_external_ids_that_ignore_capitals(fields: dict[tuple[str, str], ElementTree.Element]) -> None:
    for key in (("Account", "ERP_Number__c"), ("Opportunity", "ERP_Order_Number__c")):
        link = fields[key]
        assert [text_of(link, name) for name in ("type", "length", "externalId", "unique", "caseSensitive")] == [
            "Text", "30", "true", "true", "false",
        ]  # fmt: skip


def test_the_fields_are_those_that_tieout_is_tested_with(fields: dict[tuple[str, str], ElementTree.Element]) -> None:
    """The sandbox describes an organisation as docs/tenants.md wants it; the package must make just that."""
    wanted = {
        (sobject.name, field.name): field for sobject in CATALOGUE.values() for field in sobject.fields if field.custom
    }
    made = {key: root for key, root in fields.items() if key[0] != EVENT}

    assert set(made) == set(wanted)
    for key, root in made.items():
        field = wanted[key]
        assert DESCRIBED_AS[text_of(root, "type") or ""] == field.type, key
        assert (text_of(root, "externalId") == "true", text_of(root, "unique") == "true") == (
            field.external_id,
            field.unique,
        )
        if field.type == "string":
            assert int(text_of(root, "length") or 0) == field.length, key
        if field.type == "currency":
            assert (text_of(root, "precision"), text_of(root, "scale")) == (str(field.precision), str(field.scale))
        values = [each.findtext(f"{NS}fullName") for each in root.iter(f"{NS}value")]
        assert tuple(values) == field.values


def test_the_event_carries_what_is_written_back(
    fields: dict[tuple[str, str], ElementTree.Element], contracts: Contracts
) -> None:
    written = written_columns(contracts["sales_order"].table("salesforce"))

    assert {name for sobject, name in fields if sobject == EVENT} == {"Opportunity_Id__c", "ERP_Company__c", *written}


def test_only_what_is_written_back_may_be_edited(permission_set: ElementTree.Element, contracts: Contracts) -> None:
    written = {f"{table.source}.{name}" for table in contracts.tables("salesforce") for name in written_columns(table)}
    granted = {
        text_of(each, "field"): text_of(each, "editable") for each in permission_set.iter(f"{NS}fieldPermissions")
    }

    assert {name for name, editable in granted.items() if editable == "true"} == written
    assert all(text_of(each, "readable") == "true" for each in permission_set.iter(f"{NS}fieldPermissions"))


def test_every_field_of_ours_that_may_be_left_empty_is_granted_and_no_other(
    permission_set: ElementTree.Element, fields: dict[tuple[str, str], ElementTree.Element]
) -> None:
    """A required field in a permission set, or one of an event, makes the deployment fail."""
    optional = {
        f"{sobject}.{name}"
        for (sobject, name), root in fields.items()
        if text_of(root, "required") == "false" and sobject != EVENT
    }
    granted = {text_of(each, "field") or "" for each in permission_set.iter(f"{NS}fieldPermissions")}

    assert {name for name in granted if name.endswith("__c")} == optional


def test_nothing_is_deleted_and_nothing_is_modified_whoever_owns_it(permission_set: ElementTree.Element) -> None:
    rights = {text_of(each, "object"): each for each in permission_set.iter(f"{NS}objectPermissions")}

    assert set(rights) == {"Account", "Opportunity", "Product2", "Pricebook2", EVENT}
    for name, each in rights.items():
        assert text_of(each, "allowRead") == "true"
        assert text_of(each, "allowDelete") == text_of(each, "modifyAllRecords") == "false"
        assert text_of(each, "allowCreate") == ("true" if name == EVENT else "false")
        assert text_of(each, "allowEdit") == ("true" if name in {"Account", "Opportunity"} else "false")
        assert text_of(each, "viewAllRecords") == (
            "true" if name in {"Account", "Opportunity", "Product2"} else "false"
        )
    powers = {text_of(each, "name") for each in permission_set.iter(f"{NS}userPermissions")}
    assert powers == {"ApiEnabled", "ApiUserOnly", "UpdateWithInactiveOwner"}


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1))
def test_any_text_survives_the_way_into_a_file(text: str) -> None:
    root = ElementTree.fromstring(
        document("CustomField", [("label", text), ("valueSet", [("value", [("label", text)])])])
    )

    assert text_of(root, "label") == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Two__Parts__c"},
        {"name": f"{'x' * 41}__c"},
        {"label": "x" * 41},
        {"length": 256},
        {"type": "Date", "length": 3},
        {"type": "Currency", "length": 0, "precision": 19},
        {"type": "Date", "length": 0, "external_id": True},
        {"type": "Picklist", "length": 0},
    ],
)
def test_a_field_that_salesforce_would_refuse_is_never_made(wrong: dict[str, object]) -> None:
    good = {"object": "Account", "name": "Good__c", "label": "Good", "type": "Text", "length": 10}
    CustomField(**good)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=r".+"):
        CustomField(**good | wrong)  # type: ignore[arg-type]


def changed(folder: Path, old: str, new: str) -> Contracts:
    """The contracts of the project with one text of customer.yaml replaced."""
    contracts = shutil.copytree(PROJECT / "contracts", folder / "contracts")
    file = contracts / "customer.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return load_contracts(contracts)


def test_a_field_that_cannot_be_made_is_told_with_its_place(tmp_path: Path) -> None:
    long = f"{'Very_long_name_' * 4}x__c"

    with pytest.raises(ContractError, match=rf"customer\.yaml:\d+: Account\.{long} cannot be made .*40 at most"):
        package_files(changed(tmp_path, "Payment_Terms__c", long))


def test_a_new_field_of_a_contract_is_a_new_file_and_a_new_right(tmp_path: Path) -> None:
    contracts = changed(
        tmp_path, "    AccountNumber: text\n", "    AccountNumber: text\n    Tier__c: text\n    acme__Own__c: text\n"
    )

    files = package_files(contracts)

    assert f"{OBJECTS}Account/fields/Tier__c.field-meta.xml" in files
    assert not any("acme__Own__c" in path for path in files), "fields of managed packages are not ours to make"
    assert (
        "<field>Account.Tier__c</field>"
        in files["force-app/main/default/permissionsets/Tieout_Integration.permissionset-meta.xml"]
    )


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["tieout", "salesforce-package", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run  # type: ignore[return-value]


def test_the_command_writes_the_same_files_again_and_lists_what_no_contract_names(
    command: object, tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--to", str(tmp_path)) == 0  # type: ignore[operator]
    other = tmp_path / OBJECTS / "Account" / "fields" / "Theirs__c.field-meta.xml"
    other.write_text("<CustomField/>")

    assert command("--to", str(tmp_path)) == 0  # type: ignore[operator]

    there = {file.relative_to(tmp_path).as_posix(): file.read_text() for file in tmp_path.rglob("*") if file.is_file()}
    assert there == files | {other.relative_to(tmp_path).as_posix(): "<CustomField/>"}
    said = capsys.readouterr().out
    assert "left as they are: force-app/main/default/objects/Account/fields/Theirs__c.field-meta.xml." in said
    assert "sf project deploy start" in said
