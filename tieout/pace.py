"""How much may be under way at once: more as long as it goes well, half as much when a system says that it is too much.

Pure, and owned by the one thread that hands out the work.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class AdaptiveLimit:
    """Additive increase, multiplicative decrease: begins at one, grows by one with each full round that went well, up to `most`."""

    most: int
    allowed: int = 1

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"at most {self.most} at once is nothing at all")

    def succeeded(self) -> None:
        """Everything that was allowed went well."""
        self.allowed = min(self.most, self.allowed + 1)

    def throttled(self) -> None:
        """The system asked for less."""
        self.allowed = max(1, self.allowed // 2)
