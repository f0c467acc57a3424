"""The feed over HTTP, on a real Postgres and a real lake: what OData v4 promises to whoever reads it."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import text

from desk.feed.model import BREAKS, ENTITY_SETS, LOG
from desk.feed.skiptoken import Place, token_of
from resources.ledger.attempts import AttemptResult, NewAttempt
from tests.desk.books import NOW, Served, a_break, a_verdict, in_days, keep_breaks, keep_verdicts

EDM = {"edm": "http://docs.oasis-open.org/odata/ns/edm", "edmx": "http://docs.oasis-open.org/odata/ns/edmx"}


def read(desk: Served, address: str, **options: Any) -> dict[str, Any]:
    """The answer's JSON, decimals exact."""
    answer = desk.get(f"/odata/{address}", **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    return found


def identities(desk: Served, query: str) -> list[str]:
    return [row["identity"] for row in read(desk, f"Breaks?$select=identity&{query}")["value"]]


def refusal(desk: Served, address: str, **options: Any) -> tuple[int, str]:
    answer = desk.get(f"/odata/{address}", **options)
    assert answer.headers["content-type"].startswith("application/json")
    return answer.status_code, answer.json()["error"]["message"]


def keep_attempts(desk: Served, number: int = 1) -> list[int]:
    new = [
        NewAttempt("sales_order", "create", f"006{each:012d}AAA", "to_d365", company="usmf") for each in range(number)
    ]
    return desk.desk.ledger.attempts.begin(new, "run 1", NOW)


class TestDocuments:
    def test_the_service_document_names_every_entity_set(self, desk: Served) -> None:
        for address in ("", "?$format=json"):
            found = read(desk, address)
            assert [each["url"] for each in found["value"]] == list(ENTITY_SETS)
            assert found["@odata.context"] == f"{desk.address}/odata/$metadata"
        assert desk.get("/odata").status_code == 200

    def test_the_metadata_tells_types_keys_and_what_may_be_missing(self, desk: Served) -> None:
        answer = desk.get("/odata/$metadata", headers={"Accept": "application/json"})

        assert answer.headers["content-type"].startswith("application/xml")
        schema = ET.fromstring(answer.content).find("edmx:DataServices/edm:Schema", EDM)
        assert schema is not None
        for entity_set in ENTITY_SETS.values():
            found = schema.find(f"edm:EntityType[@Name='{entity_set.entity_type}']", EDM)
            assert found is not None
            assert [each.get("Name") for each in found.findall("edm:Key/edm:PropertyRef", EDM)] == [entity_set.key]
            told = {each.get("Name"): each for each in found.findall("edm:Property", EDM)}
            assert list(told) == [each.name for each in entity_set.properties]
            for each in entity_set.properties:
                assert told[each.name].get("Type") == each.edm
                assert (told[each.name].get("Nullable") != "false") == each.nullable, each.name
        amount = schema.find("edm:EntityType[@Name='Break']/edm:Property[@Name='amount']", EDM)
        assert amount is not None
        assert (amount.get("Type"), amount.get("Precision"), amount.get("Scale")) == ("Edm.Decimal", "28", "6")

    def test_every_answer_tells_its_version(self, desk: Served) -> None:
        for address in ("", "$metadata", "Breaks", "Breaks/$count", "Breaks('none')", "nowhere"):
            assert desk.get(f"/odata/{address}").headers["odata-version"] == "4.0", address

    def test_what_may_be_missing_is_what_the_database_lets_be_missing(self) -> None:
        from resources.ledger.tables import break_

        for each in BREAKS.properties:
            assert each.name == "is_waiting" or each.nullable == bool(break_.c[each.name].nullable), each.name

    def test_the_power_bi_file_leads_to_this_feed(self, desk: Served) -> None:
        found = desk.get("/tieout.pbids").json()

        assert found["connections"][0]["details"] == {"protocol": "odata", "address": {"url": f"{desk.address}/odata/"}}


class TestRows:
    def test_a_break_has_every_property_as_it_is_kept(self, desk: Served) -> None:
        keep_breaks(desk.desk.ledger, a_break("b1", amount=Decimal("12345678901234567890.123456")))
        desk.desk.ledger.breaks.accept("b1", in_days(3), "known", "ann")

        found = read(desk, "Breaks")

        assert found["@odata.context"] == f"{desk.address}/odata/$metadata#Breaks"
        [row] = found["value"]
        assert list(row) == [each.name for each in BREAKS.properties]
        assert row["amount"] == Decimal("12345678901234567890.123456")
        assert row["accepted_until"] == in_days(3).isoformat()
        assert datetime.fromisoformat(row["first_seen"]) == NOW
        assert row["first_seen"].endswith("Z")
        assert (row["needs_a_person"], row["is_waiting"]) == (True, False)
        assert row["closed_at"] is None

    def test_exact_numbers_are_texts_for_clients_that_count_in_binary(self, desk: Served) -> None:
        keep_breaks(desk.desk.ledger, a_break(amount=Decimal("0.1")))
        keep_attempts(desk)

        form = {"Accept": "application/json;IEEE754Compatible=true"}
        answer = desk.get("/odata/Breaks?$count=true", headers=form)

        assert "IEEE754Compatible=true" in answer.headers["content-type"]
        assert answer.json()["value"][0]["amount"] == "0.100000"
        assert answer.json()["@odata.count"] == "1"
        assert read(desk, "IntegrationLog", headers=form)["value"][0]["attempt_id"] == "1"

    def test_the_log_is_the_view(self, desk: Served) -> None:
        [attempt] = keep_attempts(desk)
        desk.desk.ledger.attempts.end(
            [AttemptResult(attempt, "confirmed", "confirmed", 120, Decimal("0.333333"), 201)], NOW
        )

        [row] = read(desk, "IntegrationLog")["value"]

        assert list(row) == [each.name for each in LOG.properties]
        assert (row["outcome"], row["http_status"], row["api_calls"]) == ("confirmed", 201, Decimal("0.333333"))

    def test_the_tie_out_is_that_of_the_lake(self, desk: Served) -> None:
        assert read(desk, "TieOut?$count=true") | {"@odata.context": ""} == {
            "@odata.context": "",
            "@odata.count": 0,
            "value": [],
        }
        keep_verdicts(
            desk.desk.lake,
            a_verdict(1),
            a_verdict(2, d365_amount=Decimal("60.000001"), verdict="differs"),
            a_verdict(3, company=None, currency="a|b\\", month=None),
        )
        keep_tie_out(desk)

        rows = {row["identity"]: row for row in read(desk, "TieOut")["value"]}
        bridge = read(desk, "TieOutBridge?$filter=is_explained eq false")["value"]

        assert set(rows) == {"usmf|USD|2026-10", r"\N|a\|b\\|\N"}
        assert rows["usmf|USD|2026-10"]["unexplained"] == Decimal("39.999999")
        assert [(row["cause"], row["difference"]) for row in bridge] == [("unexplained", Decimal("39.999999"))]
        assert bridge[0]["identity"] == "usmf|USD|2026-10|differs|unexplained|false"
        for name, kept in rows.items():
            one = read(desk, f"TieOut('{quote(name, safe='')}')")
            assert {key: one[key] for key in kept} == kept

    def test_one_row_by_its_key(self, desk: Served) -> None:
        hostile = "O'Neil / 100% ?#&+"
        keep_breaks(desk.desk.ledger, a_break(hostile), a_break("b2"))
        keep_attempts(desk)
        doubled = quote(hostile.replace("'", "''"), safe="")

        for address in (f"Breaks('{doubled}')", f"Breaks(identity='{doubled}')"):
            assert read(desk, address)["identity"] == hostile
        found = read(desk, "Breaks('b2')?$select=amount")
        assert found == {"@odata.context": f"{desk.address}/odata/$metadata#Breaks(amount)/$entity", "amount": 10}
        assert read(desk, "IntegrationLog(1)")["attempt_id"] == 1
        assert refusal(desk, "Breaks('none')")[0] == 404
        assert refusal(desk, "Breaks(1)")[0] == 400
        assert refusal(desk, "IntegrationLog('1')")[0] == 400
        assert refusal(desk, "IntegrationLog(9223372036854775808)")[0] == 404
        assert refusal(desk, "Breaks('b2')/amount")[0] == 501

    def test_select_and_metadata_decide_what_is_told(self, desk: Served) -> None:
        keep_breaks(desk.desk.ledger, a_break("b 1"))

        found = read(desk, "Breaks?$select=amount,identity")
        assert found["@odata.context"].endswith("$metadata#Breaks(amount,identity)")
        assert list(found["value"][0]) == ["amount", "identity"]
        assert list(read(desk, "Breaks?$select=*")["value"][0]) == [each.name for each in BREAKS.properties]
        assert list(read(desk, "Breaks?$format=application/json;odata.metadata=none")) == ["value"]
        full = read(desk, "Breaks?$select=identity,amount", headers={"Accept": "application/json;odata.metadata=full"})
        assert full["value"] == [
            {
                "@odata.type": "#Tieout.Break",
                "@odata.id": f"{desk.address}/odata/Breaks('b%201')",
                "identity": "b 1",
                "amount@odata.type": "#Decimal",
                "amount": Decimal("10.000000"),
            }
        ]


class TestOrderAndPages:
    def test_a_missing_value_is_lower_than_all_others(self, desk: Served) -> None:
        keep_breaks(
            desk.desk.ledger,
            a_break("none", amount=None),
            a_break("big", amount=Decimal(9)),
            a_break("small", amount=Decimal(-1)),
        )

        assert identities(desk, "$orderby=amount") == ["none", "small", "big"]
        assert identities(desk, "$orderby=amount desc") == ["big", "small", "none"]

    @pytest.mark.parametrize(
        "order",
        [
            "identity desc",
            "amount",
            "amount desc",
            "accepted_until desc,company,amount",
            "first_seen desc, needs_a_person",
            "label desc",
            "times_opened,identity",
        ],
    )
    def test_pages_of_any_size_are_the_list(self, desk: Served, order: str) -> None:
        a_few = [None, Decimal("1.5"), Decimal("-7")]
        keep_breaks(
            desk.desk.ledger,
            *(
                a_break(f"b{each}", amount=a_few[each % 3], company=("usmf", "demf")[each % 2], label=f"Ü'{each % 4}")
                for each in range(17)
            ),
        )
        for each in range(0, 17, 5):
            desk.desk.ledger.breaks.accept(f"b{each}", in_days(each), "", "ann")
        whole = identities(desk, f"$orderby={order}")

        for size in (1, 4, 17):
            pages = list(pages_of(desk, f"/odata/Breaks?$select=identity&$orderby={order}", size))
            assert [row["identity"] for page in pages for row in page] == whole
            assert {len(page) for page in pages[:-1]} <= {size}

    def test_top_and_skip_go_over_page_borders(self, desk: Served) -> None:
        keep_breaks(desk.desk.ledger, *(a_break(f"b{each:02d}") for each in range(20)))

        pages = list(pages_of(desk, "/odata/Breaks?$skip=3&$top=10&$select=identity", 4))

        assert [len(page) for page in pages] == [4, 4, 2]
        assert [row["identity"] for page in pages for row in page] == [f"b{each:02d}" for each in range(3, 13)]
        assert list(pages_of(desk, "/odata/Breaks?$top=4", 4)) == list(pages_of(desk, "/odata/Breaks?$top=4", 100))
        assert read(desk, "Breaks?$top=0&$count=true")["@odata.count"] == 20

    def test_the_count_is_of_all_that_fits_the_filter(self, desk: Served) -> None:
        keep_breaks(desk.desk.ledger, *(a_break(f"b{each}", amount=Decimal(each)) for each in range(9)))

        found = read(desk, "Breaks?$count=true&$top=2&$skip=1&$filter=amount ge 4")

        assert (found["@odata.count"], len(found["value"])) == (5, 2)
        answer = desk.get("/odata/Breaks/$count?$filter=amount ge 4", headers={"Accept": "application/json"})
        assert (answer.text, answer.headers["content-type"]) == ("5", "text/plain;charset=utf-8")
        assert desk.get("/odata/TieOut/$count").text == "0"

    def test_the_page_size_that_was_asked_for_is_told(self, desk: Served) -> None:
        answer = desk.get("/odata/Breaks", headers={"Prefer": "odata.maxpagesize=99999999"})

        assert answer.headers["preference-applied"] == "odata.maxpagesize=10000"
        assert "preference-applied" not in desk.get("/odata/Breaks").headers

    def test_all_of_25_000_rows_come_once_while_rows_are_added(self, desk: Served) -> None:
        keep_attempts(desk, 25_000)
        address, seen, first = "/odata/IntegrationLog?$select=attempt_id,business_key&$count=true", [], None
        while address:
            found = desk.get(address).json()
            first = first or found
            seen += [row["attempt_id"] for row in found["value"]]
            address = found.get("@odata.nextLink", "").removeprefix(desk.address)
            if len(seen) < 20_000:
                keep_attempts(desk, 10)

        assert first is not None
        assert (first["@odata.count"], len(first["value"])) == (25_000, 1_000)
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= 25_000

    def test_breaks_that_come_between_pages_shift_nothing(self, desk: Served) -> None:
        old = [f"m{each:03d}" for each in range(300)]
        keep_breaks(desk.desk.ledger, *(a_break(each) for each in old))
        seen: list[str] = []
        for number, page in enumerate(pages_of(desk, "/odata/Breaks?$select=identity", 50)):
            seen += [row["identity"] for row in page]
            keep_breaks(desk.desk.ledger, *(a_break(f"{letter}{number}") for letter in "az"))

        assert len(seen) == len(set(seen))
        assert set(old) <= set(seen)

    def test_pages_of_the_tie_out_are_of_one_reconciliation(self, desk: Served) -> None:
        keep_verdicts(desk.desk.lake, *(a_verdict(each, company=f"c{each}") for each in range(6)))
        pages = pages_of(desk, "/odata/TieOutBridge?$select=company", 4)
        first = next(pages)
        keep_verdicts(desk.desk.lake, a_verdict(9, company="new"))

        assert [row["company"] for page in (first, *pages) for row in page] == [f"c{each}" for each in range(6)]
        assert read(desk, "TieOutBridge/$count") == 1


class TestRefusals:
    @pytest.mark.parametrize("name", ["$expand=x", "$apply=x", "$search=x", "$compute=x", "@p=1"])
    def test_options_that_the_feed_does_not_do_are_501(self, desk: Served, name: str) -> None:
        assert refusal(desk, f"Breaks?{name}")[0] == 501

    @pytest.mark.parametrize(
        ("query", "told"),
        [
            ("$top=-1", "whole number"),
            ("$top=x", "whole number"),
            ("$skip=99999999999999999999", "whole number"),
            ("$count=yes", "true or false"),
            ("$select=nothing", "'nothing'"),
            ("$select=", "no property"),
            ("$orderby=nothing", "'nothing'"),
            ("$orderby=amount up", "amount desc"),
            ("$orderby=amount,amount desc", "twice"),
            ("$top=1&$top=2", "twice"),
            ("$bogus=1", "no option $bogus"),
            ("$skiptoken=guessed", "first page"),
            ("$skiptoken=W251bGwsWyJhIiwiYiJdXQ", "first page"),
            ("$skiptoken=W251bGwsWzFdXQ", "first page"),
            ("$orderby=identity;drop table tieout.break", "amount desc"),
        ],
    )
    def test_what_is_wrong_is_told(self, desk: Served, query: str, told: str) -> None:
        status, message = refusal(desk, f"Breaks?{query}")

        assert status == 400
        assert told in message

    def test_long_texts_are_not_ordered_by(self, desk: Served) -> None:
        assert refusal(desk, "Breaks?$orderby=comment")[0] == 501

    def test_addresses_of_nothing(self, desk: Served) -> None:
        for address in ("Nothing", "Nothing('x')", "Breaks/x", "breaks", "Breaks()"):
            assert desk.get(f"/odata/{quote(address)}").status_code == 404, address
        assert refusal(desk, "Nothing")[1].startswith("There is no entity set Nothing")

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_nothing_can_be_written(self, desk: Served, method: str) -> None:
        import requests

        keep_breaks(desk.desk.ledger, a_break("b1"))
        for address in ("Breaks", "Breaks('b1')"):
            answer = requests.request(method, f"{desk.address}/odata/{address}", json={"owner": "eve"}, timeout=30)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
            assert answer.json()["error"]["code"] == "MethodNotAllowed"
        assert desk.desk.ledger.breaks.get("b1").owner == ""

    def test_batches_other_formats_and_older_versions_are_refused(self, desk: Served) -> None:
        import requests

        assert requests.post(f"{desk.address}/odata/$batch", timeout=30).status_code == 501
        assert refusal(desk, "Breaks", headers={"Accept": "application/atom+xml"})[0] == 406
        assert refusal(desk, "Breaks?$format=atom")[0] == 406
        assert refusal(desk, "Breaks", headers={"OData-MaxVersion": "3.0"})[0] == 400
        power_query = "application/json;odata.metadata=minimal;q=1.0,application/json;odata=minimalmetadata;q=0.9,application/atom+xml;q=0.7"
        assert desk.get("/odata/Breaks", headers={"Accept": power_query, "OData-MaxVersion": "4.0"}).status_code == 200

    def test_an_answer_that_takes_too_long_is_told(self, desk: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("desk.feed.sources.LONGEST_S", 1)
        with desk.desk.ledger._engine.begin() as other:
            other.execute(text("lock table tieout.break in access exclusive mode"))
            status, message = refusal(desk, "Breaks")

        assert status == 503
        assert "$filter" in message
        assert read(desk, "Breaks/$count") == 0

    def test_a_reconciliation_that_is_kept_no_more_is_gone(self, desk: Served) -> None:
        keep_verdicts(desk.desk.lake, a_verdict(1))
        [first] = read(desk, "TieOutBridge")["value"]
        token = token_of(Place([first["identity"]], 7))

        status, message = refusal(desk, f"TieOutBridge?$skiptoken={token}")

        assert status == 410
        assert desk.desk.lake.url not in message

    def test_head_has_no_body(self, desk: Served) -> None:
        import requests

        answer = requests.head(f"{desk.address}/odata/Breaks", timeout=30)
        assert (answer.status_code, answer.content) == (200, b"")


def pages_of(desk: Served, address: str, size: int) -> Iterator[list[dict[str, Any]]]:
    """Page after page, as the next links lead."""
    while address:
        found = desk.get(address, headers={"Prefer": f"odata.maxpagesize={size}"}).json()
        yield found["value"]
        address = found.get("@odata.nextLink", "").removeprefix(desk.address)


def keep_tie_out(desk: Served) -> None:
    """The table `tie_out` as the reconciliation makes it from the bridge that the lake has."""
    from resources.workbench import duckdb_connection
    from tieout.reconciliation.totals import tie_out_statement

    with duckdb_connection() as con:
        desk.desk.lake.register(con, "bridge", ("reconciliation", "tie_out_bridge"))
        con.execute("CREATE TABLE tie_out_bridge AS SELECT * FROM bridge")
        con.execute(tie_out_statement())
        desk.desk.lake.replace(("reconciliation", "tie_out"), con.sql("SELECT * FROM tie_out"))
