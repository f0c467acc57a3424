"""Reading Salesforce's opportunities to disk: Tieout and other clients against one sandbox, each as it is installed."""
