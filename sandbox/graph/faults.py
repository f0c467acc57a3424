"""The faults that strike one part of a Graph batch; all others are those of the sandbox that serves it."""

from __future__ import annotations

from sandbox.common import fault_rules as of
from sandbox.common.fault_rules import Kind, Parameter

THROTTLE_ITEM, LOSE_ITEM, REFUSE_ITEM = "throttle_item", "lose_item", "refuse_item"

KINDS = (
    Kind(
        THROTTLE_ITEM,
        "answers 429 in the place of a part of a Graph batch, which is not begun; strikes per part that holds the text",
        {"retry_after_s": Parameter(of.SECONDS_OR_NULL, 1)},
    ),
    Kind(LOSE_ITEM, "does a part of a Graph batch and answers 504 in its place; strikes per part that holds the text"),
    Kind(REFUSE_ITEM, "refuses a part of a Graph batch for no reason of its own; strikes per part that holds the text"),
)
