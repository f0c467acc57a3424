"""`tieout contracts`: check the contracts, and renew what is made from them."""

from pathlib import Path

from pipelines.cli import output
from tieout.contract import Contract, Contracts, Field, load_contracts
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
        DICTIONARY.write_text(data_dictionary(contracts))
        Path(folder / "schema.json").write_text(schema_text())
        output.console.print(f"Written: {DICTIONARY} and {folder / 'schema.json'}.", highlight=False, soft_wrap=True)


def data_dictionary(contracts: Contracts) -> str:
    """The fields of every contract as a page: what they are called on each side, who owns them, how they are compared."""
    parts = [
        "# Data dictionary\n\nMade from `contracts/` by `make dictionary`; change it there.\n\n"
        "*Owner*: the system that may change the value. *On a difference*: `write` brings the other side to the owner's value, `report` only "
        "shows it.\n"
    ]
    for contract in contracts.values():
        parts.append(
            _section(contract.entity, contract, contract.fields, contract.salesforce.source, contract.d365.source)
        )
        if contract.lines is not None:
            lines = contract.lines
            parts.append(
                _section(
                    f"{contract.entity}: lines", contract, lines.fields, lines.salesforce.source, lines.d365.source
                )
            )
    return "\n".join(parts)


def _section(title: str, contract: Contract, fields: tuple[Field, ...], salesforce: str, d365: str) -> str:
    rows = [
        f"| {field.label} | {_code(field.salesforce or _via(field))} | {_code(' + '.join(field.d365_columns) or _sum(field))} | "
        f"{'Salesforce' if field.owner == 'salesforce' else 'D365'} | {field.compare}{_tolerance(field)} | {field.on_difference} | {_rules(field)} |"
        for field in fields
    ]
    head = f"| Field | {salesforce} | {d365} | Owner | Compared as | On a difference | Rules |\n|---|---|---|---|---|---|---|"
    return f"## {title}\n\nFrom `{contract.file}`.\n\n{head}\n" + "\n".join(rows) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _via(field: Field) -> str:
    return f"product.{field.salesforce_via_product}" if field.salesforce_via_product else ""


def _sum(field: Field) -> str:
    return f"sum of lines.{field.d365_sum_of}" if field.d365_sum_of else ""


def _tolerance(field: Field) -> str:
    if field.tolerance is None:
        return ""
    absolute, percent = field.tolerance.absolute, field.tolerance.percent
    return (
        f" (± {absolute})"
        if percent is None
        else f" (± {percent} %)"
        if absolute is None
        else f" (± {absolute} or {percent} %)"
    )


def _rules(field: Field) -> str:
    rules = ["required"] if field.required else []
    rules += ["more than 0"] if field.positive else []
    rules += [f"at most {field.max_length} characters"] if field.max_length else []
    rules += [f"values of `{field.values.name}`"] if field.values else []
    return ", ".join(rules)
