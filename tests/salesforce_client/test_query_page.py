"""A page of a query is unwrapped without being parsed."""

import json

import pytest

from tieout.errors import SourceUnavailable
from tieout.query_page import cut

RECORDS = [{"Id": "1", "Name": 'a "records":[ ] in a name'}, {"Id": "2", "Parts": {"records": [1, 2]}}]
NEXT = "/services/data/v62.0/query/0r8xx2Kd0aBcDeFACV-2000"
WRAPPING = {"totalSize": 4321, "done": False, "nextRecordsUrl": NEXT}


@pytest.mark.parametrize("indent", [None, 2])
def test_the_records_come_out_as_they_are_however_they_are_printed(indent: int | None) -> None:
    page = cut(json.dumps(WRAPPING | {"records": RECORDS}, indent=indent).encode())

    assert json.loads(bytes(page.records)) == RECORDS
    assert (page.total, page.next_path) == (4321, NEXT)


def test_it_does_not_matter_whether_the_next_page_is_named_before_or_after_the_records() -> None:
    page = cut(json.dumps({"totalSize": 4321, "done": False, "records": RECORDS, "nextRecordsUrl": NEXT}).encode())

    assert json.loads(bytes(page.records)) == RECORDS
    assert page.next_path == NEXT


def test_the_last_page_names_no_next_one_and_may_be_empty() -> None:
    page = cut(b'{"totalSize":0,"done":true,"records":[]}')

    assert (bytes(page.records), page.total, page.next_path) == (b"[]", 0, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>login</html>",
        b'{"totalSize":1,"done":true}',
        b'{"totalSize":1,"done":true,"records":[{"Id":"1"',
        b'{"totalSize":1,"done":true,"records":[{"Id":"1","a":[1]',
        b'{"totalSize":1,"done":false,"records":[{"Id":"1"}]}',
    ],
)
def test_what_is_no_whole_page_is_refused(body: bytes) -> None:
    with pytest.raises(SourceUnavailable, match="Run it again"):
        cut(body)
