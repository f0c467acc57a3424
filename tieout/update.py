"""Whether an update has taken effect: what was to be written, beside what D365 holds now.

Pure. Needed where the answer to an update was lost: nothing else may be written to the record before that is known, because an update
that lands late would go over a newer one.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from tieout.contract import Contract

Row = Mapping[str, object]
"""Properties of D365 with their values as they travel: texts, decimals, dates as text."""


def update_differences(
    contract: Contract, header: Row, lines: Sequence[Row], found: Row, found_lines: Sequence[Row]
) -> list[str]:
    """The properties in which the record is not what the update would make it; empty when it took effect. Values are not repeated.

    `lines` are changes of existing lines, each with its key beside the changed properties.
    """
    differences = [name for name, meant in header.items() if not _same(meant, found.get(name))]
    if not lines or contract.lines is None:
        return differences
    key = contract.lines.d365.key[-1]
    there = {str(line.get(key)).casefold(): line for line in found_lines}
    for line in lines:
        other = there.get(str(line[key]).casefold())
        if other is None:
            differences.append(f"line {line[key]}")
            continue
        # What is sent and never read, such as how D365 is to calculate, cannot be compared.
        differences += [
            f"line {line[key]}: {name}" for name in line if name in other and not _same(line[name], other[name])
        ]
    return differences


def _same(meant: object, found: object) -> bool:
    if isinstance(meant, Decimal | int):
        try:
            return Decimal(str(meant)) == Decimal(str(found))
        except InvalidOperation:
            return False
    # D365 drops blanks at the end of a text.
    return str(meant).rstrip() == str("" if found is None else found).rstrip()
