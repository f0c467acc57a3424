"""A notice: what one message to one sink says, and how it is written for each medium, so that no text of a subject can act in it."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tieout.alerting.evaluate import Due
from tieout.alerting.judge import in_words, plain
from tieout.alerting.model import Severity

MOST_ITEMS = 25
"""Alerts in one message: what Slack, Teams (28 KB a card) and people can take. Further ones go with the next message."""
_MOST_TEXT = 400

_HEADS = {"raised": "On", "again": "Still on", "recovered": "Over"}
_COLOURS = {"recovered": "Good", "critical": "Attention", "warning": "Warning"}


@dataclass(frozen=True, slots=True)
class Item:
    """One alert in a notice. `since` and `until` are UTC; `until` is set for a recovered one alone."""

    due: Due
    severity: Severity
    rule: str
    subject: str
    words: str
    since: datetime
    until: datetime | None = None

    @property
    def head(self) -> str:
        """Its first line: what became of it, which rule, about what."""
        urgent = " (critical)" if self.severity == "critical" and self.due != "recovered" else ""
        return _cut(f"{_HEADS[self.due]}{urgent}: {self.rule.replace('_', ' ')}, {self.subject}")

    @property
    def body(self) -> str:
        """Its second line: figures, and since when."""
        time = f"since {self.since:%Y-%m-%d %H:%M} UTC"
        if self.until is not None:
            time = f"{time}, over after {in_words(self.until - self.since)}"
        return f"{_cut(self.words)} ({time})"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. `installation`: which Tieout speaks, for a team that has several."""

    items: Sequence[Item]
    installation: str = ""

    @property
    def title(self) -> str:
        """One line: the alert where there is one, else how many of each kind."""
        counted = {due: sum(item.due == due for item in self.items) for due in _HEADS}
        parts = [f"{number} {_HEADS[due].lower()}" for due, number in counted.items() if number]
        what = self.items[0].head if len(self.items) == 1 else f"alerts: {', '.join(parts)}"
        return _cut(f"{f'Tieout {self.installation}'.rstrip()}: {what}")


A_TEST = "a test"


def a_test(now: datetime, installation: str = "") -> Notice:
    """The notice of `tieout alerts test`."""
    words = "nothing happened; this message shows that notices arrive here"
    return Notice([Item("raised", "warning", A_TEST, "tieout alerts test", words, now)], installation)


def as_text(notice: Notice) -> str:
    """Plain text, two lines for each alert."""
    return "\n\n".join(f"{item.head}\n{item.body}" for item in notice.items) + f"\n\n{_FOOT}\n"


def as_html(notice: Notice) -> str:
    """HTML for a mail, without style sheets, pictures or addresses."""
    blocks = "".join(
        f"<p><strong>{html.escape(item.head)}</strong><br>{html.escape(item.body)}</p>\n" for item in notice.items
    )
    return f'<!DOCTYPE html>\n<html lang="en"><body>\n{blocks}<p>{html.escape(_FOOT)}</p>\n</body></html>\n'


def as_slack(notice: Notice) -> dict[str, Any]:
    """The body of a Slack webhook. Blocks are `plain_text`, which knows no mentions, links or marks; only the line for the pop-up is mrkdwn."""
    blocks = [
        {"type": "section", "text": {"type": "plain_text", "emoji": False, "text": f"{item.head}\n{item.body}"}}
        for item in notice.items
    ]
    foot = {"type": "context", "elements": [{"type": "plain_text", "emoji": False, "text": _FOOT}]}
    return {"text": slack_escaped(notice.title), "blocks": [*blocks, foot]}


def as_card(notice: Notice) -> dict[str, Any]:
    """The body of a Teams workflow's webhook: one Adaptive Card. Texts are `TextRun`s, in which no markdown acts."""
    body = [_runs([{"text": notice.title, "weight": "Bolder", "size": "Medium"}])]
    for item in notice.items:
        colour = _COLOURS["recovered" if item.due == "recovered" else item.severity]
        body.append(_runs([{"text": item.head, "weight": "Bolder", "color": colour}]))
        body.append(_runs([{"text": item.body}], spacing="None"))
    body.append(_runs([{"text": _FOOT, "isSubtle": True}]))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": {"width": "Full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def slack_escaped(text: str) -> str:
    """Text in which Slack sees no mention, link or mark: its three control characters as entities, marks behind an invisible joiner."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\u2060{each}\u2060" if each in "*_~`" else each for each in escaped)


_FOOT = "tieout alerts list shows every alert; the rules are in alerts.yaml."


def _runs(runs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs], **more}


def _cut(text: str) -> str:
    shown = plain(text)
    return shown if len(shown) <= _MOST_TEXT else f"{shown[: _MOST_TEXT - 1]}…"
