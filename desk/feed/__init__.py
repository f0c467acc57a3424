"""The feed: the log, the breaks and the tie-out as OData v4, read-only, for Power BI, Excel and Salesforce Connect."""
