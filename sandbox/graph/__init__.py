"""Microsoft Graph with one SharePoint list, as far as writing a log needs it; served by the D365 sandbox (Microsoft: Graph v1.0, lists)."""
