"""The data management package API of the sandbox: projects, executions, change tracking, zip packages, storage."""

import csv
import io
import zipfile
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from tests.sandbox_d365.environment import Caller, inner_message

SPACE = "{http://schemas.microsoft.com/dynamics/2015/01/DataManagement}"
ENTITY = "Released products V2"


def act(d365: Caller, action: str, **given: object) -> requests.Response:
    return d365.http.post(
        f"{d365.data}/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.{action}", json=given
    )


def value_of(answer: requests.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["@odata.context"].endswith("$metadata#Edm.String")
    return answer.json()["value"]


def exported(d365: Caller, project: str, execution: str, company: str = "demf") -> zipfile.ZipFile:
    """The package of one execution."""
    given = {"definitionGroupId": project, "packageName": "p", "reExecute": True, "legalEntityId": company.upper()}
    assert value_of(act(d365, "ExportToPackage", executionId=execution, **given)) == execution
    while value_of(act(d365, "GetExecutionSummaryStatus", executionId=execution)) in ("NotRun", "Executing"):
        pass
    url = value_of(act(d365, "GetExportedPackageUrl", executionId=execution))
    return zipfile.ZipFile(io.BytesIO(requests.get(url, timeout=30).content))


def rows_of(package: zipfile.ZipFile) -> list[dict[str, str]]:
    raw = package.read(f"{ENTITY}.csv")
    text = raw.decode("utf-16" if raw[:2] == b"\xff\xfe" else "utf-8")
    assert text.count("\r\n") == text.count("\n") > 0
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_package_is_a_zip_with_manifest_header_and_the_rows_of_one_company(d365: Caller) -> None:
    d365.control("export-projects", {"name": "PRODUCTS", "entity": ENTITY})

    package = exported(d365, "products", "PRODUCTS-1")

    assert sorted(package.namelist()) == ["Manifest.xml", "PackageHeader.xml", f"{ENTITY}.csv"]
    assert package.read("Manifest.xml").startswith(b"\xff\xfe")
    manifest = ElementTree.fromstring(package.read("Manifest.xml"))
    [name] = manifest.iter(f"{SPACE}EntityName")
    assert name.text == ENTITY
    rows = rows_of(package)
    assert {row["ITEMNUMBER"] for row in rows} == {"BK-1", "HL-2"}
    assert "DATAAREAID" not in rows[0]
    assert [row["SALESPRICE"] for row in rows if row["ITEMNUMBER"] == "BK-1"] == ["2024.994000"]
    fields = [each.text for each in manifest.iter(f"{SPACE}EntityField")]
    assert fields == list(rows[0])


def test_with_change_tracking_a_package_holds_what_changed_since_the_last_one_that_succeeded(d365: Caller) -> None:
    d365.control("export-projects", {"name": "CHANGES", "entity": ENTITY, "refresh": "IncrementalPush"})
    assert len(rows_of(exported(d365, "CHANGES", "C-1"))) == 2
    assert rows_of(exported(d365, "CHANGES", "C-2")) == []
    d365.patch("ReleasedProductsV2(dataAreaId='demf',ItemNumber='HL-2')?cross-company=true", {"SearchName": "Changed"})
    d365.control("settings", {"package_outcome": "Failed"})
    failed = {"definitionGroupId": "CHANGES", "packageName": "p", "legalEntityId": "demf", "executionId": "C-3"}
    value_of(act(d365, "ExportToPackage", **failed))
    d365.control("settings", {"package_outcome": None})

    changed = rows_of(exported(d365, "CHANGES", "C-4"))

    assert [(row["ITEMNUMBER"], row["SEARCHNAME"]) for row in changed] == [("HL-2", "Changed")]
    assert len(rows_of(exported(d365, "CHANGES", "C-5", "usmf"))) == 2


def test_an_execution_takes_its_time_and_has_no_package_before_it_ends(d365: Caller) -> None:
    d365.control("export-projects", {"name": "SLOW", "entity": ENTITY, "format": "CSV-Unicode"})
    d365.control("settings", {"package_progress": ["NoRecord", "Queued", "Executing"]})
    given = {"definitionGroupId": "SLOW", "packageName": "p", "legalEntityId": "demf", "executionId": "S-1"}
    value_of(act(d365, "ExportToPackage", **given))

    unknown = act(d365, "GetExecutionSummaryStatus", executionId="S-1")
    told = []
    for _ in range(3):
        told.append(value_of(act(d365, "GetExecutionSummaryStatus", executionId="S-1")))
        told.append(bool(value_of(act(d365, "GetExportedPackageUrl", executionId="S-1"))))

    assert unknown.status_code == 400
    assert "were not found" in inner_message(unknown)
    assert told == ["Queued", False, "Executing", True, "Succeeded", True]


def test_a_package_is_fetched_by_its_signature_alone_and_only_for_a_while(d365: Caller) -> None:
    d365.control("export-projects", {"name": "SHORT", "entity": ENTITY})
    exported(d365, "SHORT", "X-1")
    url = value_of(act(d365, "GetExportedPackageUrl", executionId="X-1"))

    assert requests.get(url, timeout=30).status_code == 200
    assert requests.get(url.replace("sig=", "sig=0"), timeout=30).status_code == 403
    d365.control("clock", {"advance_s": 3601})
    assert requests.get(url, timeout=30).status_code == 403
    d365.control("clock", {"now": None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"definitionGroupId": "NOBODY"}, "The definition group NOBODY does not exist"),
        ({"legalEntityId": "none"}, "The legal entity none does not exist"),
        ({"legalEntityId": ""}, "'legalEntityId' must be given"),
    ],
)
def test_an_export_that_cannot_be_made_is_refused(d365: Caller, changes: dict[str, str], message: str) -> None:
    d365.control("export-projects", {"name": "GOOD", "entity": ENTITY})
    given = {"definitionGroupId": "GOOD", "packageName": "p", "legalEntityId": "demf", "executionId": "R-1"} | changes

    refused = act(d365, "ExportToPackage", **given)

    assert refused.status_code == 400
    assert message in inner_message(refused)


def test_the_actions_want_a_token(d365: Caller) -> None:
    url = f"{d365.data}/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities.GetExecutionSummaryStatus"

    assert requests.post(url, json={"executionId": "X"}, timeout=30).status_code == 401
