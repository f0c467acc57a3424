"""The organisations of a generated seed: an account in Salesforce, a customer in D365, or both, and where the two disagree."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from faker import Faker

from sandbox.seeds import d365_rows, salesforce_rows
from sandbox.seeds.companies import COMPANIES, COUNTRY_IN_D365, PAYMENT_TERMS
from sandbox.seeds.damage import misread
from sandbox.seeds.generated import awkward
from sandbox.seeds.generated.sizes import Sizes
from sandbox.seeds.seed import Manifest, NextId, Row

AREAS = ("usmf", "gbsi", "demf", "frsi")
CURRENCIES = {"usmf": ("USD", "CAD"), "gbsi": ("GBP", "EUR"), "demf": ("EUR", "CHF"), "frsi": ("EUR", "USD")}
"""The currencies that customers of a company buy in, the usual one first."""

_LOCALES = {"usmf": "en_US", "gbsi": "en_GB", "demf": "de_DE", "frsi": "fr_FR"}
_COUNTRY_NAMES = {"US": "United States", "GB": "United Kingdom", "DE": "Germany", "FR": "France"}
_COMPANY_WEIGHTS = (45, 20, 20, 15)
_FIRST_DAY = date(2023, 6, 1)
_SHARE_WITH_EMAIL = 0.7
_SHARE_WITH_PARENT = 0.15
_SHARE_IN_OTHER_CURRENCY = 0.1
_TERMS = tuple(PAYMENT_TERMS)


@dataclass(slots=True)
class Party:
    """One organisation. `account` is None where only D365 knows it, `customer` where only Salesforce does."""

    company: str
    currency: str
    account: Row | None
    customer: Row | None

    @property
    def key(self) -> str:
        """The account's id, or company and customer account where there is no account."""
        if self.account is not None:
            return str(self.account["Id"])
        assert self.customer is not None
        return customer_key(self.customer)


@dataclass(slots=True)
class Parties:
    """All organisations by what is to become of them; `duplicates` are second customer accounts of known ones."""

    customers: list[Party] = field(default_factory=list)
    on_hold: list[Party] = field(default_factory=list)
    newcomers: list[Party] = field(default_factory=list)
    unnameable: list[Party] = field(default_factory=list)
    prospects: list[Party] = field(default_factory=list)
    erp_only: list[Party] = field(default_factory=list)
    duplicates: list[Row] = field(default_factory=list)

    def with_account(self) -> list[Party]:
        """The organisations that Salesforce knows."""
        return [*self.customers, *self.on_hold, *self.newcomers, *self.unnameable, *self.prospects]

    def accounts(self) -> Iterator[Row]:
        """Accounts, parents before their children."""
        rows = [party.account for party in self.with_account() if party.account is not None]
        return iter(sorted(rows, key=lambda row: row.get("ParentId") is not None))

    def customer_rows(self) -> Iterator[Row]:
        """All customers of D365."""
        for party in (*self.customers, *self.on_hold, *self.erp_only):
            if party.customer is not None:
                yield party.customer
        yield from self.duplicates


def customer_key(customer: Row) -> str:
    """Company and customer account, as the link is stored."""
    return f"{customer['dataAreaId']}/{customer['CustomerAccount']}"


class PartyMaker:
    """Makes organisations one by one; the same seed makes the same ones."""

    def __init__(self, seed: int, next_id: NextId, touched: datetime) -> None:
        self.random = random.Random(f"{seed}:parties")
        self.next_id = next_id
        self.touched = touched
        self.fakers = {area: Faker(locale) for area, locale in _LOCALES.items()}
        for offset, faker in enumerate(self.fakers.values()):
            faker.seed_instance(seed + offset)
        self.made = 0

    def make(self, name: str | None = None) -> Party:
        """An organisation that both systems know and agree on."""
        self.made += 1
        company = self.random.choices(AREAS, _COMPANY_WEIGHTS)[0]
        usual, other = CURRENCIES[company]
        currency = other if self.random.random() < _SHARE_IN_OTHER_CURRENCY else usual
        faker = self.fakers[company]
        country = COMPANIES[company].country
        number = f"C{self.made:06d}"
        details = {
            "name": name or faker.company(),
            "street": faker.street_address().replace("\r", ""),
            "city": faker.city()[:40],
            "state": faker.state_abbr() if country == "US" else "",
            "postal_code": faker.postcode(),
            "phone": faker.phone_number(),
            "email": f"orders@{faker.domain_word()}{self.made}.example"
            if self.random.random() < _SHARE_WITH_EMAIL
            else "",
            "terms": self.random.choice(_TERMS),
        }
        limit = Decimal(self.random.randrange(5, 500) * 1000).quantize(Decimal("0.01"))
        return Party(
            company,
            currency,
            self._account(company, currency, country, number, limit, details),
            self._customer(company, currency, country, number, limit, details),
        )

    def _account(
        self, company: str, currency: str, country: str, number: str, limit: Decimal, details: dict[str, str]
    ) -> Row:
        return {
            "Id": self.next_id("Account"),
            "Name": details["name"],
            "Type": "Customer",
            "ParentId": None,
            "BillingStreet": details["street"],
            "BillingCity": details["city"],
            "BillingState": details["state"] or None,
            "BillingPostalCode": details["postal_code"],
            "BillingCountry": _COUNTRY_NAMES[country],
            "Phone": details["phone"],
            "Email__c": details["email"] or None,
            "AccountNumber": number,
            "CurrencyIsoCode": currency,
            "ERP_Company__c": company,
            "ERP_Number__c": f"{company}/{number}",
            "Payment_Terms__c": details["terms"],
            "Credit_Limit__c": limit,
            "ERP_On_Hold__c": "No",
            "ERP_Synced_At__c": self.touched,
            **salesforce_rows.stamps(_FIRST_DAY, self.touched),
        }

    def _customer(
        self, company: str, currency: str, country: str, number: str, limit: Decimal, details: dict[str, str]
    ) -> Row:
        return d365_rows.customer(
            company,
            number,
            details["name"],
            currency,
            PartyNumber=f"{self.made:09d}",
            AddressStreet=details["street"],
            AddressCity=details["city"],
            AddressState=details["state"],
            AddressZipCode=details["postal_code"],
            AddressCountryRegionId=COUNTRY_IN_D365[country],
            AddressCountryRegionISOCode=country,
            PrimaryContactPhone=details["phone"],
            PrimaryContactEmail=details["email"],
            PaymentTerms=details["terms"],
            CreditLimit=limit,
        )


def make_parties(sizes: Sizes, seed: int, next_id: NextId, touched: datetime, manifest: Manifest) -> Parties:
    """All organisations with their planted differences; each customer carries one planted difference at most."""
    maker = PartyMaker(seed, next_id, touched)
    parties = Parties()
    names = iter(awkward.NAMES)
    for position in range(sizes.of("account_without_customer")):
        parties.newcomers.append(_newcomer(maker.make(next(names, None) if position % 2 == 0 else None), position))
    for position in range(sizes.of("account_name_too_long")):
        parties.unnameable.append(_newcomer(maker.make(f"{awkward.LONG_NAME} {position + 1}"), position))
    for _ in range(sizes.prospects):
        parties.prospects.append(_newcomer(maker.make(), 0))
    for _ in range(sizes.of("customer_on_hold")):
        parties.on_hold.append(_held(maker.make()))
    others = sizes.accounts - len(parties.with_account())
    parties.customers += [maker.make(next(names, None)) for _ in range(others)]
    for _ in range(sizes.of("customer_only_in_d365")):
        party = maker.make()
        party.account = None
        parties.erp_only.append(party)
        manifest.plant("customer_only_in_d365", party.key)
    for party in parties.with_account():
        if party.account is not None and party.account["Name"] in awkward.NAMES:
            manifest.plant("awkward_name", party.key)
    for party in parties.newcomers:
        manifest.plant("account_without_customer", party.key)
    for party in parties.unnameable:
        manifest.plant("account_name_too_long", party.key)
    _give_parents(parties.customers, maker.random)
    _plant(parties, sizes, maker, manifest)
    return parties


def _newcomer(party: Party, position: int) -> Party:
    """Known to Salesforce alone: no link, nothing that D365 owns, and every second one has no account number yet."""
    assert party.account is not None
    party.customer = None
    party.account |= dict.fromkeys(
        ("ERP_Number__c", "Payment_Terms__c", "Credit_Limit__c", "ERP_On_Hold__c", "ERP_Synced_At__c")
    )
    if position % 2 == 0:
        party.account["AccountNumber"] = None
    return party


def _held(party: Party) -> Party:
    assert party.account is not None
    assert party.customer is not None
    party.customer["OnHoldStatus"] = party.account["ERP_On_Hold__c"] = "All"
    return party


def _give_parents(customers: list[Party], rng: random.Random) -> None:
    """Subsidiaries below earlier accounts of the same company, one level deep."""
    heads: dict[str, list[object]] = {}
    for party in customers:
        assert party.account is not None
        known = heads.setdefault(party.company, [])
        if known and rng.random() < _SHARE_WITH_PARENT:
            party.account["ParentId"] = rng.choice(known)
        else:
            known.append(party.account["Id"])


def _plant(parties: Parties, sizes: Sizes, maker: PartyMaker, manifest: Manifest) -> None:
    """Differences between the two masters, on customers drawn at random; awkward names stay as they are."""
    drawn = iter(maker.random.sample(parties.customers, len(parties.customers)))

    def draw(kind: str) -> Iterator[tuple[Row, Row]]:
        for _, party in zip(range(sizes.of(kind)), drawn, strict=False):
            assert party.account is not None
            assert party.customer is not None
            manifest.plant(kind, party.key)
            yield party.account, party.customer

    for account, _ in draw("phone_changed_in_salesforce"):
        account["Phone"] = f"+1 555 {maker.random.randrange(10**6, 10**7)}"
    for account, _ in draw("name_changed_in_salesforce"):
        account["Name"] = f"{account['Name']} (formerly)"
    for _, customer in draw("payment_terms_changed_in_d365"):
        customer["PaymentTerms"] = _TERMS[(_TERMS.index(str(customer["PaymentTerms"])) + 1) % len(_TERMS)]
    for _, customer in draw("credit_limit_changed_in_d365"):
        customer["CreditLimit"] = Decimal(str(customer["CreditLimit"])) + Decimal("2500.00")
    for position, (account, customer) in enumerate(draw("street_damaged_characters")):
        street = awkward.ACCENTED_STREETS[position % len(awkward.ACCENTED_STREETS)].format(number=position + 1)
        customer["AddressStreet"], account["BillingStreet"] = street, misread(street)
    for _, customer in draw("name_trailing_blanks"):
        customer["OrganizationName"] = f"{customer['OrganizationName']}  "
    for account, _ in draw("linked_by_account_number_only"):
        account["ERP_Number__c"] = None
    for _, customer in draw("duplicate_customer"):
        parties.duplicates.append(customer | {"CustomerAccount": f"{customer['CustomerAccount']}-2"})
