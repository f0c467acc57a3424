"""The ledger: what we meant to send, what we sent, what came back, who is who, and which break is whose. In Postgres."""

from resources.ledger.ledger import Ledger
from resources.ledger.schema import connect, upgrade

__all__ = ["Ledger", "connect", "upgrade"]
