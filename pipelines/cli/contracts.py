"""`tieout contracts`: check the contracts, and renew what is made from them."""

from pathlib import Path

from pipelines.cli import output
from tieout.contract import load_contracts
from tieout.contract.dictionary import data_dictionary
from tieout.contract.schema import schema_text
from tieout.settings import PROJECT_ROOT, Settings

DICTIONARY = PROJECT_ROOT / "docs" / "data-dictionary.md"


def check(*, write: bool) -> None:
    """Load the contracts; raises ContractError with every mistake. With `write`, renew the data dictionary and the editors' schema."""
    folder = Settings.from_environment().contracts
    contracts = load_contracts(folder)
    output.console.print(
        f"{len(contracts)} contracts in {folder} are right: {', '.join(contracts)}.", highlight=False, soft_wrap=True
    )
    if write:
        DICTIONARY.write_text(data_dictionary(contracts), encoding="utf-8")
        Path(folder / "schema.json").write_text(schema_text(), encoding="utf-8")
        output.console.print(f"Written: {DICTIONARY} and {folder / 'schema.json'}.", highlight=False, soft_wrap=True)
