"""Matching: which accounts and customers that share no key may be the same company, and which records of one system are doubles.

`party.py` makes records of both systems comparable, `exact.py` has the rules that need no model, `model.py` the probabilistic model
(Fellegi-Sunter, by Splink on DuckDB), `proposals.py` puts them together. Nothing here decides: a proposal is accepted or refused in the ledger.
"""

from tieout.matching.party import PARTY_COLUMNS, party_select
from tieout.matching.proposals import RULES_DIGEST, Evidence, Kind, Proposal, propose

__all__ = ["PARTY_COLUMNS", "RULES_DIGEST", "Evidence", "Kind", "Proposal", "party_select", "propose"]
