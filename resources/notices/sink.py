"""What a sink is, and how it says that it did not take a notice."""

from typing import Protocol

from tieout.alerting.notice import Notice
from tieout.errors import SourceUnavailable


class NotTaken(SourceUnavailable):
    """A sink did not take a notice; the next look tries again. `wait_s`: how long it asked to be left alone, in seconds.

    The message holds no address, secret or recipient: it is logged and kept in the ledger.
    """

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Sink(Protocol):
    """One place where notices go."""

    def send(self, notice: Notice) -> None:
        """Send one message. Raises NotTaken, AuthenticationProblem or ConfigurationError; returns when it was taken."""
