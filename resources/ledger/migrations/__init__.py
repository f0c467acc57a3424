"""The ledger's schema, one file for each change; `upgrade()` brings a database to the newest."""
