"""A Salesforce org on this machine: REST, SOQL, Bulk 2.0 queries and OAuth, with its state in one SQLite file."""
