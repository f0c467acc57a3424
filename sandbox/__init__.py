"""A Salesforce and a D365 on this machine that speak the real protocols."""
