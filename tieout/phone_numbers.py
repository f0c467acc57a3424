"""Phone numbers as E.164 (`+12065550100`), by Google's numbering plans (the package phonenumbers)."""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

E164 = "e164"
"""Name of the DuckDB function that `register` makes: (number, region) → E.164, or NULL where it is no number of that country."""


@lru_cache(maxsize=100_000)
def e164(number: str | None, region: str | None) -> str | None:
    """`region`: ISO alpha-2 code of the country of a number without prefix; without it such a number cannot be told."""
    import phonenumbers  # here, because its tables cost a tenth of a second that few contracts need

    if not number:
        return None
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    # An extension is no part of E.164, but tells two people apart.
    extension = f" ext. {parsed.extension}" if parsed.extension else ""
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) + extension


def register(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the function `e164` on `connection`, once."""
    import duckdb
    from duckdb.func import FunctionNullHandling

    if connection.execute("SELECT 1 FROM duckdb_functions() WHERE function_name = ?", [E164]).fetchall():
        return
    text = duckdb.sqltype("VARCHAR")
    connection.create_function(E164, e164, [text, text], text, null_handling=FunctionNullHandling.SPECIAL)
