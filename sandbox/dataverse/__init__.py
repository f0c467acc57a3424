"""A Dataverse environment with one table, as far as writing a log needs it; served by the D365 sandbox (Microsoft: Dataverse Web API)."""
