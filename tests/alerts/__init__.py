"""Alerts: rules, their state in the ledger, and every sink against a real server."""
