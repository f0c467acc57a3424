"""What people may say about a break or a proposal, wherever they say it: the desk, the command line."""

from datetime import date, timedelta

from tieout.errors import RecordError

LONGEST_ACCEPTANCE_DAYS = 366
LONGEST_TEXT = 2_000


def checked_text(text: str) -> str:
    """A comment, a note, the name of an owner: without outer blanks, at most LONGEST_TEXT characters. Raises RecordError."""
    if len(text) > LONGEST_TEXT:
        raise RecordError(f"The text is longer than {LONGEST_TEXT:,} characters. Shorten it.")
    # Postgres keeps no NUL.
    return text.replace("\x00", "").strip()


def checked_comment(text: str) -> str:
    """A comment that says something. Raises RecordError."""
    checked = checked_text(text)
    if not checked:
        raise RecordError("The comment is empty. Write what others should know.")
    return checked


def checked_acceptance(until: date | None, today: date) -> date:
    """The day through which a break is accepted: from today on, and not for good. Raises RecordError; None is no day."""
    last = today + timedelta(days=LONGEST_ACCEPTANCE_DAYS)
    if until is None or not today <= until <= last:
        raise RecordError(
            f"Accept it until a day from {today} to {last}: a difference that stays for good belongs into the contract."
        )
    return until
