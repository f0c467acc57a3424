"""The companies of the sandbox's D365, and what every company has before its first order: groups, terms, units."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox.seeds.seed import Row, Rows

CUSTOMER_GROUP = "30"
PAYMENT_TERMS = {
    "Net10": ("Net 10 days", 10),
    "Net30": ("Net 30 days", 30),
    "Net45": ("Net 45 days", 45),
    "Net60": ("Net 60 days", 60),
    "COD": ("Cash on delivery", 0),
}
CUSTOMER_GROUPS = {
    "10": "Wholesale",
    "20": "Major accounts",
    CUSTOMER_GROUP: "Retail and resellers",
    "80": "Other customers",
    "90": "Intercompany",
}
UNIT_IN_D365 = {"Each": "ea", "Box": "box", "Pair": "pair", "Hour": "hr"}
"""Unit of measure as Salesforce writes it on a product -> unit symbol of D365."""


@dataclass(frozen=True, slots=True)
class Company:
    """One legal entity of D365; `area` is its `dataAreaId`, `country` the ISO code of the customers that it serves."""

    area: str
    name: str
    country: str
    currency: str
    language: str
    time_zone: str


COMPANIES = {
    company.area: company
    for company in (
        Company("usmf", "Contoso Entertainment System USA", "US", "USD", "en-US", "GMTMINUS0500EASTERNTIME"),
        Company("camf", "Contoso Canada", "CA", "CAD", "en-US", "GMTMINUS0500EASTERNTIME"),
        Company("gbsi", "Contoso Orange Juice", "GB", "GBP", "en-GB", "GMT_COORDINATEDUNIVERSALTIME"),
        Company(
            "demf", "Contoso Entertainment System Germany", "DE", "EUR", "de", "GMTPLUS0100_AMSTERDAM_BERLIN_BERN_ROME"
        ),
        Company("frsi", "Contoso France", "FR", "EUR", "fr", "GMTPLUS0100BRUSSELS_COPENHAGEN_MADRID"),
        Company("ausi", "Contoso Australia", "AU", "AUD", "en-AU", "GMTPLUS1000CANBERRA_MELBOURNE_SYDNEY"),
    )
}
COUNTRY_IN_D365 = {"US": "USA", "CA": "CAN", "GB": "GBR", "DE": "DEU", "FR": "FRA", "AU": "AUS"}
"""ISO code of two letters -> `AddressCountryRegionId` of three."""


def company_of_country(country: str) -> str:
    """`dataAreaId` of the company that serves a country (ISO code of two letters)."""
    return next(company.area for company in COMPANIES.values() if company.country == country)


def company_tables(areas: Iterable[str]) -> Iterator[Rows]:
    """What the companies have before any customer: themselves, their customer groups and payment terms."""
    companies = [COMPANIES[area] for area in areas]
    yield Rows("d365", "Companies", [_company(company) for company in companies])
    yield Rows("d365", "LegalEntities", [_legal_entity(company) for company in companies])
    yield Rows(
        "d365",
        "CustomerGroups",
        [
            {"dataAreaId": company.area, "CustomerGroupId": group, "Description": text, "PaymentTermId": "Net30"}
            for company in companies
            for group, text in CUSTOMER_GROUPS.items()
        ],
    )
    yield Rows(
        "d365",
        "PaymentTerms",
        [
            {"dataAreaId": company.area, "Name": name, "Description": text, "NumberOfDays": days}
            for company in companies
            for name, (text, days) in PAYMENT_TERMS.items()
        ],
    )


def _company(company: Company) -> Row:
    return {"DataArea": company.area, "Name": company.name, "KnownAs": company.name, "LanguageId": company.language}


def _legal_entity(company: Company) -> Row:
    return {
        "LegalEntityId": company.area,
        "Name": company.name,
        "NameAlias": company.name[:20],
        "LanguageId": company.language,
        "CompanyCountry": company.country,
        "AddressCountryRegionId": COUNTRY_IN_D365[company.country],
        "AddressCountryRegionISOCode": company.country,
        "TimeZone": company.time_zone,
    }
