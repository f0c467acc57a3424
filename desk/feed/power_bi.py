"""A `.pbids` file: opened in Power BI Desktop, it asks for the token and shows the tables of the feed."""

import json

FILE_NAME = "tieout.pbids"


def pbids(root: str) -> str:
    """The file for a feed at `root`, its address with a slash at the end. No secret is in it."""
    connection = {
        "details": {"protocol": "odata", "address": {"url": root}},
        "options": {},
        "mode": "Import",
    }
    return json.dumps({"version": "0.1", "connections": [connection]}, indent=2) + "\n"
