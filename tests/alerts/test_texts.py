"""How a notice is written for each medium: nothing that a record is called can act in it."""

import json
from html.parser import HTMLParser
from typing import Any

from tests.alerts.samples import DAY, HOSTILE, HOUR, NOW, a_notice, an_item
from tieout.alerting.notice import MOST_ITEMS, a_test, as_card, as_html, as_slack, as_text

HOSTILE_ITEM = an_item(subject=HOSTILE, words=HOSTILE, rule="x")


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, _: Any) -> None:
        self.tags.add(tag)


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in _strings(each)]
    return [value] if isinstance(value, str) else []


def test_a_notice_says_what_where_since_when_and_how_much() -> None:
    text = as_text(a_notice(an_item(severity="critical")))

    assert text.startswith(
        "On (critical): money open, usmf USD\n1,234.50 USD in 3 open breaks; limit 1,000.00 USD (since 2026-11-27 11:00 UTC)"
    )


def test_a_recovery_says_how_long_it_was_on() -> None:
    text = as_text(a_notice(an_item(due="recovered", severity="critical", until=NOW + DAY)))

    assert text.startswith("Over: money open, usmf USD\n")
    assert "over after 1 d 1 h" in text


def test_the_title_names_the_one_alert_or_counts_several() -> None:
    assert a_notice(an_item(), installation="test").title == "Tieout test: On: money open, usmf USD"
    several = a_notice(an_item(), an_item(due="again"), an_item(due="recovered", until=NOW), an_item())
    assert several.title == "Tieout: alerts: 2 on, 1 still on, 1 over"


def test_the_title_is_one_line_whatever_a_subject_is_called() -> None:
    title = a_notice(HOSTILE_ITEM).title

    assert title.isprintable()
    assert len(a_notice(an_item(subject="x" * 9000)).title) <= 400


def test_html_has_only_our_own_tags() -> None:
    page = as_html(a_notice(HOSTILE_ITEM))

    assert _Tags(page).tags == {"html", "body", "p", "strong", "br"}
    assert "&lt;script&gt;" in page


def test_slack_gets_plain_text_and_a_pop_up_line_without_mentions_and_marks() -> None:
    body = as_slack(a_notice(HOSTILE_ITEM))

    kinds = {block["text"]["type"] for block in body["blocks"] if "text" in block}
    assert kinds == {"plain_text"}
    assert not {"<", ">"} & set(body["text"])
    assert "*bold*" not in body["text"]
    assert "&lt;!channel&gt;" in body["text"]


def test_a_card_has_no_element_in_which_markdown_acts() -> None:
    card = as_card(a_notice(HOSTILE_ITEM))["attachments"][0]["content"]

    assert {element["type"] for element in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for element in card["body"] for run in element["inlines"]} == {"TextRun"}
    assert all(text.isprintable() for text in _strings(card))


def test_the_largest_notice_fits_into_every_medium() -> None:
    """Slack takes 50 blocks with 3,000 characters each, Teams 28 KB."""
    notice = a_notice(*(an_item(subject="ü" * 200, words="x" * 250) for _ in range(MOST_ITEMS)))

    assert len(as_slack(notice)["blocks"]) <= 50
    assert max(len(block["text"]["text"]) for block in as_slack(notice)["blocks"][:-1]) <= 3000
    assert len(json.dumps(as_card(notice), ensure_ascii=False).encode()) <= 28 * 1024


def test_the_test_notice_says_that_nothing_happened() -> None:
    assert "nothing happened" in as_text(a_test(NOW - HOUR))
