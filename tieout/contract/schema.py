"""The JSON Schema of a contract file, which lets an editor complete and check keys while they are written.

`python -m tieout.contract.schema contracts/schema.json` writes it; a test keeps the file equal to the model.
"""

import json
import sys
from pathlib import Path

from tieout.contract.model import ContractModel


def schema_text() -> str:
    """The schema as the text of `contracts/schema.json`."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ContractModel.model_json_schema(by_alias=True),
        "title": "Tieout contract",
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")
