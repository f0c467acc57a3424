"""CSV folders as seeds: values arrive as they are, and every mistake is told with file, place and what is known."""

import gzip
from pathlib import Path

import pytest

from sandbox.seeds.csv_folder import CsvFolder
from sandbox.seeds.seed import SeedError
from tests.seeds.laid import lay


def a_folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def complaint(folder: Path) -> str:
    with pytest.raises(SeedError) as caught:
        lay(CsvFolder(folder))
    return str(caught.value)


def test_values_are_handed_over_as_they_are(tmp_path: Path) -> None:
    folder = a_folder(
        tmp_path,
        Opportunity='Name,StageName,CloseDate,Amount\n"A, ""B"" \n=1+1",Closed Won,2026-01-02,n/a\n',
        CustomersV3="dataAreaId,CustomerAccount,OrganizationName,CreditLimit\nusmf,C1,Trailing ,10.5\n",
    )

    laid = lay(CsvFolder(folder))

    assert laid["Opportunity"] == [
        {"Name": 'A, "B" \n=1+1', "StageName": "Closed Won", "CloseDate": "2026-01-02", "Amount": "n/a"}
    ]
    assert laid["CustomersV3"][0]["OrganizationName"] == "Trailing "


def test_parents_come_before_children_whatever_the_names_of_the_files(tmp_path: Path) -> None:
    folder = a_folder(
        tmp_path,
        SalesOrderLines="dataAreaId,SalesOrderNumber,ItemNumber\nusmf,S1,I1\n",
        Opportunity="Name\nX\n",
        Account="Name\nX\n",
        SalesOrderHeadersV2="dataAreaId,SalesOrderNumber\nusmf,S1\n",
    )
    assert list(lay(CsvFolder(folder)).tables) == ["Account", "Opportunity", "SalesOrderHeadersV2", "SalesOrderLines"]


def test_packed_files_and_the_mark_of_excel_are_read(tmp_path: Path) -> None:
    (tmp_path / "Account.csv.gz").write_bytes(gzip.compress("\ufeffName,Phone\nÅ & Ø,\n".encode()))
    assert lay(CsvFolder(tmp_path))["Account"] == [{"Name": "Å & Ø"}]


def test_all_mistakes_in_names_are_told_at_once(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, Acount="Name\nX\n", Product2="Name,ProductCod\nX,Y\n", CustomersV3="dataAreaid\nusmf\n")

    told = complaint(folder)

    assert "Acount.csv: there is no object or entity set Acount. Did you mean Account?" in told
    assert "Known are Account.csv, Opportunity.csv" in told
    assert "Product2.csv: Product2 has no column 'ProductCod'. Did you mean ProductCode? It has CreatedById," in told
    assert "CustomersV3.csv: CustomersV3 has no column 'dataAreaid'. Did you mean dataAreaId?" in told


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Account", "Name,Phone\nA,1\nB\n", "Account.csv:3: 1 values for 2 columns"),
        ("Account", "Name,Name\nA,B\n", "Account.csv: the column Name is there twice"),
        ("Account", "", "Account.csv: the first line has no column names"),
        ("Account", "Id,Name\nshort,A\n", "Account.csv:2: Id is 'short', which is no id of 15 or 18 characters"),
        ("CustomersV3", "CustomerAccount,CreditLimit\nC1,n/a\n", "CustomersV3.csv:2: CreditLimit is 'n/a', which is no Edm.Decimal"),
        ("CustomersV3", "CustomerAccount,OnHoldStatus\nC1,Maybe\n", "OnHoldStatus is 'Maybe'. It can be No, Invoice, All"),
        ("ReleasedProductsV2", "dataAreaId\nusmf\n", "ReleasedProductsV2.csv: the key column ItemNumber is missing"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    assert message in complaint(a_folder(tmp_path, **{name: text}))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Account.csv").write_bytes("Name\nMüller\n".encode("cp1252"))
    assert "Account.csv:" in (told := complaint(tmp_path))
    assert "Save it as UTF-8 CSV" in told


def test_a_file_in_both_forms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Account.csv.gz").write_bytes(gzip.compress(b"Name\nX\n"))
    assert "Account is there twice, as .csv and .csv.gz" in complaint(a_folder(tmp_path, Account="Name\nX\n"))


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "holds no CSV file. Known are Account.csv" in complaint(tmp_path)
    assert "is no folder" in complaint(tmp_path / "missing")
