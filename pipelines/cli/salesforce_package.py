"""`tieout salesforce-package`: write the project that the Salesforce CLI deploys, made from the contracts."""

from collections.abc import Collection
from pathlib import Path

from pipelines.cli import output
from tieout.contract import load_contracts
from tieout.errors import ConfigurationError
from tieout.salesforce_package import PERMISSION_SET, package_files
from tieout.settings import PROJECT_ROOT, contracts_folder

FOLDER = PROJECT_ROOT / "salesforce"
_COMPONENTS = ("*.field-meta.xml", "*.object-meta.xml", "*.permissionset-meta.xml")


def write(*, to: Path | None) -> None:
    """Write every file below `to`, or below `salesforce/` of the project. Nothing is removed: what no contract names is listed.

    Raises ContractError, and ConfigurationError where the folder cannot be written.
    """
    files = package_files(load_contracts(contracts_folder()))
    folder = (to or FOLDER).absolute()
    try:
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise ConfigurationError(
            f"{folder} cannot be written ({problem.strerror}). Name another folder with --to."
        ) from problem
    output.console.print(f"{len(files)} files in {folder}.", highlight=False, soft_wrap=True)
    others = _others(folder, files)
    if others:
        output.console.print(
            f"Named by no contract, and left as they are: {', '.join(others)}.", highlight=False, soft_wrap=True
        )
    output.console.print(
        f"Deploy them from there with `sf project deploy start`, then `sf org assign permset --name {PERMISSION_SET} --on-behalf-of USER`.",
        highlight=False,
        soft_wrap=True,
    )


def _others(folder: Path, made: Collection[str]) -> list[str]:
    """Components in the folder that are not from the contracts: of an older contract, or somebody else's."""
    there = {file.relative_to(folder).as_posix() for pattern in _COMPONENTS for file in folder.rglob(pattern)}
    return sorted(there - set(made))
