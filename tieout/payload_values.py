"""One stored Salesforce value as the value of a D365 property: dates at noon, spellings of the other side, decimals without padding."""

from datetime import date, datetime
from decimal import Decimal

from tieout.contract import Field
from tieout.odata import date_text, instant_literal


def d365_value(field: Field, stored: object) -> object | None:
    """What D365 is sent for `stored`; `None` where there is nothing to send, so that D365 fills in its own default."""
    if stored is None or stored == "":
        return None
    if isinstance(stored, Decimal):
        return exact(stored)
    if isinstance(stored, datetime):
        return instant_literal(stored)
    if isinstance(stored, date):
        return date_text(stored)
    if field.compare == "country":
        return _country_code(str(stored))
    if field.values is not None:
        # A value that the contract does not know is left to D365's default where that only warns; else it was quarantined.
        return field.values.stored("d365", field.values.common("salesforce", str(stored)))
    return stored


def exact(number: Decimal) -> Decimal:
    """The same number without the zeros that a DECIMAL(28,6) column pads it with."""
    shortened = number.normalize()
    return shortened.quantize(Decimal(1)) if shortened == shortened.to_integral_value() else shortened


def _country_code(name: str) -> str | None:
    """Three letters for a country's name or code; `None` where the free text of Salesforce names none."""
    import pycountry  # imported here: its tables take time to load

    try:
        found = pycountry.countries.lookup(name.strip())
    except LookupError:
        return None
    return str(found.alpha_3)
