"""What queries mean: filters, nulls, case, parents, children, order, aggregates, and how mistakes are told."""

from urllib.parse import urlencode

import pytest

from tests.sandbox_salesforce.running_org import Sandbox, an_opportunity


@pytest.fixture(scope="module")
def deals(running: Sandbox) -> dict[str, str]:
    """Three accounts, one of them a child of another, and four opportunities of which one has no account."""
    acme = running.create("Account", Name="SOQL Acme", BillingCity="Köln", AnnualRevenue=10)
    child = running.create("Account", Name="SOQL child", ParentId=acme)
    empty = running.create("Account", Name="SOQL empty")
    rows = [
        ("SOQL a", acme, 100.5, "2026-01-31"),
        ("SOQL B", acme, 200, "2026-02-28"),
        ("SOQL c%d", child, None, "2026-03-31"),
    ]
    made = {
        name: running.create(
            "Opportunity", **an_opportunity(Name=name, AccountId=account, Amount=amount, CloseDate=day)
        )
        for name, account, amount, day in [*rows, ("SOQL Ünlike", None, 300, "2026-04-30")]
    }
    return {"acme": acme, "child": child, "empty": empty, **made}


MINE = "Name LIKE 'SOQL%'"


@pytest.mark.usefixtures("deals")
@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("Name = 'soql A'", ["SOQL a"]),
        ("Name = 'soql ünLIKE'", ["SOQL Ünlike"]),
        (f"{MINE} AND Amount > 100.5", ["SOQL B", "SOQL Ünlike"]),
        (f"{MINE} AND Amount = null", ["SOQL c%d"]),
        (f"{MINE} AND Amount != null", ["SOQL a", "SOQL B", "SOQL Ünlike"]),
        (f"{MINE} AND Amount != 200", ["SOQL a", "SOQL c%d", "SOQL Ünlike"]),
        (f"{MINE} AND NOT Amount > 150", ["SOQL a", "SOQL c%d"]),
        (f"{MINE} AND NOT (Amount > 150 OR Name = 'SOQL a')", ["SOQL c%d"]),
        (f"{MINE} AND Amount IN (100.5, 200)", ["SOQL a", "SOQL B"]),
        (f"{MINE} AND Amount NOT IN (100.5, 200)", ["SOQL c%d", "SOQL Ünlike"]),
        (r"Name LIKE 'SOQL c\%_'", ["SOQL c%d"]),
        ("Name LIKE 'soql ü%'", ["SOQL Ünlike"]),
        (f"{MINE} AND (CloseDate < 2026-02-01 OR CloseDate >= 2026-04-01)", ["SOQL a", "SOQL Ünlike"]),
        (f"{MINE} AND Account.Name = null", ["SOQL Ünlike"]),
        (f"{MINE} AND Account.Parent.Name = 'soql acme'", ["SOQL c%d"]),
        (f"{MINE} AND Account.BillingCity = 'KÖLN'", ["SOQL a", "SOQL B"]),
        (f"{MINE} AND CreatedDate = TODAY AND CreatedDate > LAST_MONTH AND CloseDate < NEXT_N_YEARS:90", 4),
        (f"{MINE} AND IsWon = false AND IsClosed != true AND IsPrivate = null", 4),
        (f"{MINE} AND SystemModstamp >= 2020-01-01T00:00:00.000+00:00 AND SystemModstamp < 2100-01-01T00:00:00Z", 4),
        (f"{MINE} AND AccountId IN (SELECT Id FROM Account WHERE Name = 'SOQL child')", ["SOQL c%d"]),
    ],
)
def test_a_filter_finds_what_salesforce_would_find(org: Sandbox, where: str, names: list[str] | int) -> None:
    found = org.column(f"SELECT Name FROM Opportunity WHERE {where} ORDER BY Name")
    assert (len(found) if isinstance(names, int) else sorted(found)) == (
        names if isinstance(names, int) else sorted(names)
    )


def test_ids_match_in_both_lengths_and_only_in_their_own_case(org: Sandbox, deals: dict[str, str]) -> None:
    wanted = deals["acme"]
    assert org.column(f"SELECT Id FROM Account WHERE Id = '{wanted[:15]}'") == [wanted]
    assert org.column(
        f"SELECT Id FROM Account WHERE Id IN ('{wanted}', '{deals['child'][:15]}') ORDER BY Id"
    ) == sorted([wanted, deals["child"]])
    code, message = org.refusal("SELECT Id FROM Account WHERE Id = 'abc'")
    assert code == "INVALID_QUERY_FILTER_OPERATOR"
    assert message.endswith("invalid ID field: abc")


def test_a_record_shows_attributes_first_then_the_fields_in_the_order_of_the_select(
    org: Sandbox, deals: dict[str, str]
) -> None:
    answer = org.query(
        "SELECT name, ACCOUNT.name, Account.Parent.Id, amount, Isclosed, Id FROM opportunity WHERE Name = 'SOQL c%d'"
    )
    record = answer["records"][0]

    assert list(record) == ["attributes", "Name", "Account", "Amount", "IsClosed", "Id"]
    assert record["attributes"] == {
        "type": "Opportunity", "url": f"/services/data/v62.0/sobjects/Opportunity/{deals['SOQL c%d']}",
    }  # fmt: skip
    assert record["Account"]["Name"] == "SOQL child"
    assert record["Account"]["Parent"]["Id"] == deals["acme"]
    assert record["Amount"] is None
    assert record["IsClosed"] is False
    assert (answer["totalSize"], answer["done"], "nextRecordsUrl" in answer) == (1, True, False)


@pytest.mark.usefixtures("deals")
def test_a_missing_parent_and_missing_children_are_null(org: Sandbox) -> None:
    no_parent = org.query("SELECT Name, Account.Name FROM Opportunity WHERE Name = 'SOQL Ünlike'")["records"][0]
    assert no_parent["Account"] is None
    no_children = org.query("SELECT Id, (SELECT Id FROM Opportunities) FROM Account WHERE Name = 'SOQL empty'")[
        "records"
    ][0]
    assert no_children["Opportunities"] is None


def test_children_come_with_their_own_filter_order_and_limit(org: Sandbox, deals: dict[str, str]) -> None:
    soql = "SELECT Id, (SELECT Name, Account.Name FROM Opportunities WHERE Amount != null ORDER BY Amount DESC LIMIT 1) FROM Account"
    below = org.query(f"{soql} WHERE Id = '{deals['acme']}'")["records"][0]["Opportunities"]
    assert below["totalSize"] == 1
    assert below["done"] is True
    assert below["records"][0]["Name"] == "SOQL B"
    assert below["records"][0]["Account"]["Name"] == "SOQL Acme"


@pytest.mark.usefixtures("deals")
@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("Name", ["SOQL a", "SOQL B", "SOQL c%d", "SOQL Ünlike"]),
        ("Name DESC", ["SOQL Ünlike", "SOQL c%d", "SOQL B", "SOQL a"]),
        ("Amount", ["SOQL c%d", "SOQL a", "SOQL B", "SOQL Ünlike"]),
        ("Amount DESC NULLS LAST", ["SOQL Ünlike", "SOQL B", "SOQL a", "SOQL c%d"]),
        ("Account.Name NULLS LAST, CloseDate DESC", ["SOQL B", "SOQL a", "SOQL c%d", "SOQL Ünlike"]),
        ("CloseDate LIMIT 2 OFFSET 1", ["SOQL B", "SOQL c%d"]),
    ],
)
def test_order_is_without_case_with_nulls_where_they_are_wanted(org: Sandbox, order: str, names: list[str]) -> None:
    assert org.column(f"SELECT Name FROM Opportunity WHERE {MINE} ORDER BY {order}") == names


@pytest.mark.usefixtures("deals")
def test_a_long_chain_of_alternatives_is_no_problem(org: Sandbox) -> None:
    alternatives = " OR ".join(f"AnnualRevenue={number}" for number in range(2000))
    answer = org.call("POST", "composite/batch", json={"batchRequests": [
        {"method": "GET", "url": "v62.0/query/?" + urlencode({"q": f"SELECT Name FROM Account WHERE {alternatives}"})},
    ]})  # fmt: skip
    assert [record["Name"] for record in answer.json()["results"][0]["result"]["records"]] == ["SOQL Acme"]


@pytest.mark.usefixtures("deals")
def test_counting_and_adding_up(org: Sandbox) -> None:
    counted = org.query(f"SELECT COUNT() FROM Opportunity WHERE {MINE}")
    assert counted == {"totalSize": 4, "done": True, "records": []}
    assert org.query(f"SELECT COUNT() FROM Opportunity WHERE {MINE} LIMIT 3")["totalSize"] == 3

    grouped = org.query(
        "SELECT Account.Name, COUNT(Id) deals, SUM(Amount), MAX(CloseDate) FROM Opportunity "
        f"WHERE {MINE} AND AccountId != null GROUP BY Account.Name HAVING COUNT(Id) > 1"
    )
    assert grouped["records"] == [
        {
            "attributes": {"type": "AggregateResult"},
            "Name": "SOQL Acme",
            "deals": 2,
            "expr0": 300.5,
            "expr1": "2026-02-28",
        }
    ]


def test_a_compound_address_is_an_object(org: Sandbox, deals: dict[str, str]) -> None:
    address = org.query(f"SELECT BillingAddress FROM Account WHERE Id = '{deals['acme']}'")["records"][0][
        "BillingAddress"
    ]
    assert address["city"] == "Köln"
    assert address["street"] is None


def test_text_is_escaped_both_ways(org: Sandbox) -> None:
    name = 'SOQL it\'s "A" \\ <b>&\n=1+1 🚀'
    org.create("Account", Name=name, AccountNumber="escapes")
    literal = name.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    assert org.column(f"SELECT Name FROM Account WHERE Name = '{literal}'") == [name]
    assert org.column("SELECT Name FROM Account WHERE AccountNumber = '\\u0065scapes'") == [name]


@pytest.mark.parametrize(
    ("soql", "code", "message"),
    [
        (
            "SELECT Id FORM Account",
            "MALFORMED_QUERY",
            "\nSELECT Id FORM Account\n          ^\nERROR at Row:1:Column:11\nunexpected token: 'FORM'",
        ),
        (
            "SELECT Id, Foo__c FROM Account",
            "INVALID_FIELD",
            "\nSELECT Id, Foo__c FROM Account\n           ^\nERROR at Row:1:Column:12\nNo such column 'Foo__c' on entity "
            "'Account'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field "
            "name. Please reference your WSDL or the describe call for the appropriate names.",
        ),
    ],
)
def test_a_mistake_is_shown_where_it_is(org: Sandbox, soql: str, code: str, message: str) -> None:
    assert org.refusal(soql) == (code, message)


@pytest.mark.parametrize(
    ("soql", "code", "part"),
    [
        ("SELECT Id FROM Foo", "INVALID_TYPE", "ERROR at Row:1:Column:16\nsObject type 'Foo' is not supported"),
        (
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "unexpected token: 'OR'",
        ),
        ("SELECT * FROM Account", "MALFORMED_QUERY", "unexpected token: '*'"),
        ("SELECT Id FROM Account WHERE Name BETWEEN 1", "MALFORMED_QUERY", "unexpected token: 'BETWEEN'"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Name = 'a", "MALFORMED_QUERY", "Column:37"),
        ("SELECT Id, Id FROM Account", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Nope.Id FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Nope' in field path"),
        (
            "SELECT (SELECT Id FROM Nopes) FROM Account",
            "INVALID_TYPE",
            "Didn't understand relationship 'Nopes' in FROM part",
        ),
        ("SELECT Name FROM Account GROUP BY Site", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        (
            "SELECT Id FROM Account WHERE CreatedDate > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes",
        ),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        (
            "SELECT Id FROM Account WHERE Name = 5",
            "INVALID_FIELD",
            "must be of type string and should be enclosed in quotes",
        ),
        ("SELECT Id FROM Account WHERE AnnualRevenue = '5'", "INVALID_FIELD", "must be of type double"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered in a query call"),
        ("SELECT Id FROM Account WHERE CreatedDate = LAST_DECADE", "MALFORMED_QUERY", "LAST_DECADE"),
        ("SELECT Id FROM Account ORDER BY COUNT(Id)", "MALFORMED_QUERY", "unexpected token: 'COUNT'"),
        (
            "SELECT Site, COUNT(Id) FROM Account GROUP BY Site ORDER BY Name",
            "MALFORMED_QUERY",
            "Ordered field must be grouped",
        ),
        ("SELECT CALENDAR_YEAR(CreatedDate) FROM Account", "MALFORMED_QUERY", "CALENDAR_YEAR"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("", "MALFORMED_QUERY", "A query string has to be specified"),
    ],
)
def test_what_is_not_supported_is_refused_and_never_answered_wrongly(
    org: Sandbox, soql: str, code: str, part: str
) -> None:
    answered_code, message = org.refusal(soql)
    assert answered_code == code
    assert part in message


def test_a_field_hidden_by_security_does_not_exist_for_queries_describe_and_writes(org: Sandbox) -> None:
    org.control("settings", hidden_fields=["Account.ERP_Number__c"])

    assert org.refusal("SELECT ERP_Number__c FROM Account")[0] == "INVALID_FIELD"
    names = [field["name"] for field in org.call("GET", "sobjects/Account/describe").json()["fields"]]
    assert "ERP_Number__c" not in names
    refused = org.call("POST", "sobjects/Account", json={"Name": "x", "ERP_Number__c": "1"})
    assert refused.json()[0]["message"] == "No such column 'ERP_Number__c' on sobject of type Account"
