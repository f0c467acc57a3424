"""One thing that the doctor looked at, and how it stands."""

from dataclasses import dataclass
from enum import StrEnum

CLOCK_WARNING_S = 5.0
CLOCK_TOLERANCE_S = 30.0
"""A token's assertion lives for minutes and in-flight records are told by instants: half a minute apart begins to matter."""


class Status(StrEnum):
    """How a finding stands."""

    OK = "ok"
    """It is as it has to be."""

    WARN = "warn"
    """A run works. More is allowed than it needs, something could not be proven, or a limit is near."""

    FAIL = "fail"
    """A run would fail, or conclude something wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is empty where it is right."""

    what: str
    status: Status
    found: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        """Whether a run works as far as this is concerned."""
        return self.status is not Status.FAIL

    def as_json(self) -> dict[str, object]:
        """Flat, for `--json`."""
        return {
            "what": self.what,
            "status": str(self.status),
            "ok": self.ok,
            "found": self.found,
            "advice": self.advice,
        }


def good(what: str, found: str) -> Finding:
    """A finding that needs nobody."""
    return Finding(what, Status.OK, found)


def clock(system: str, apart_s: float) -> Finding:
    """This machine's clock beside a system's, in seconds apart."""
    found = f"{apart_s:.0f} s apart from this machine's"
    if apart_s <= CLOCK_WARNING_S:
        return good(f"{system} clock", found)
    status = Status.WARN if apart_s <= CLOCK_TOLERANCE_S else Status.FAIL
    return Finding(f"{system} clock", status, found, "Set this machine's clock (NTP).")


def fields(system: str, problems: list[str]) -> Finding:
    """The fields of the contracts in a system; `problems` as `check_against_…` tells them."""
    what = f"{system} fields"
    if not problems:
        return good(what, "all fields of the contracts are there")
    return Finding(what, Status.FAIL, f"{len(problems)} problems", " ".join(problems))
