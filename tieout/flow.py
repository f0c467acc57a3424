"""The flows that a person can pause and a circuit breaker can cut off, by the names that their assets have in the UI."""

from enum import StrEnum

from tieout.errors import ConfigurationError

EVERY_COMPANY = ""
"""Stands in the place of a company where all of them are meant."""


class Flow(StrEnum):
    """One stream of writes into one system."""

    DELIVERY_CUSTOMER = "delivery/customer"
    DELIVERY_SALES_ORDER = "delivery/sales_order"
    WRITEBACK_ACCOUNT = "writeback/account"
    WRITEBACK_OPPORTUNITY = "writeback/opportunity"

    @property
    def delivered(self) -> str:
        """The entity whose deliveries wait in this flow.

        Empty for write-backs: what they owe is worked out anew on every run, so that nothing of it waits in the ledger.
        """
        step, _, what = self.value.partition("/")
        return what if step == "delivery" else ""


def flow_named(name: str) -> Flow:
    """The flow of that name; ConfigurationError with the known names where there is none."""
    try:
        return Flow(name)
    except ValueError:
        raise ConfigurationError(f"There is no flow {name!r}. Flows: {', '.join(Flow)}.") from None
