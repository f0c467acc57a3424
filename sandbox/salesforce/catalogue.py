"""The org's catalogue: every sObject and field that this Salesforce knows, the one source of tables, describe and rules."""

from dataclasses import replace

from sandbox.salesforce.schema import ChildRelationship, SObject, fields_from

ORGANIZATION_ID = "00D8d0000000001EAA"
USER_ID = "0058d0000000001AAA"
USERNAME = "integration@sandbox.example"
CORPORATE_CURRENCY = "USD"
CURRENCIES = ("USD", "EUR", "GBP", "CAD", "AUD", "CHF", "DKK", "JPY", "SEK", "NOK", "PLN", "CNY", "INR", "MXN", "BRL")

# name: (probability, closed, won, forecast category, forecast category name)
STAGES: dict[str, tuple[int, bool, bool, str, str]] = {
    "Prospecting": (10, False, False, "Pipeline", "Pipeline"),
    "Qualification": (10, False, False, "Pipeline", "Pipeline"),
    "Needs Analysis": (20, False, False, "Pipeline", "Pipeline"),
    "Value Proposition": (50, False, False, "Pipeline", "Pipeline"),
    "Id. Decision Makers": (60, False, False, "Pipeline", "Pipeline"),
    "Perception Analysis": (70, False, False, "Pipeline", "Pipeline"),
    "Proposal/Price Quote": (75, False, False, "Pipeline", "Pipeline"),
    "Negotiation/Review": (90, False, False, "BestCase", "Best Case"),
    "Closed Won": (100, True, True, "Closed", "Closed"),
    "Closed Lost": (0, True, False, "Omitted", "Omitted"),
}
ORDER_STATUSES = (
    "Open", "Confirmed", "Picked", "Partially delivered", "Delivered", "Partially invoiced", "Invoiced", "Canceled",
)  # fmt: skip

_VALUES: dict[str, tuple[str, ...]] = {
    "StageName": tuple(STAGES),
    "CurrencyIsoCode": CURRENCIES,
    "IsoCode": CURRENCIES,
    "ERP_Order_Status__c": ORDER_STATUSES,
    "ForecastCategoryName": ("Omitted", "Pipeline", "Best Case", "Commit", "Closed"),
    "Rating": ("Hot", "Warm", "Cold"),
    "Ownership": ("Public", "Private", "Subsidiary", "Other"),
}

_SYSTEM = """
Id id ro def
IsDeleted boolean ro def=false "Deleted"
"""
_STAMPS = f"""
CreatedDate datetime ro def
CreatedById reference(User) ro def={USER_ID}
LastModifiedDate datetime ro def
LastModifiedById reference(User) ro def={USER_ID}
SystemModstamp datetime ro def
"""
_CURRENCY = f'CurrencyIsoCode picklist(3) def={CORPORATE_CURRENCY} restricted "Currency ISO Code"'
_OWNER = f'OwnerId reference(User) def={USER_ID} "Owner ID"'


def _address(kind: str) -> str:
    part = f"part={kind}Address"
    return f"""
{kind}Street textarea(255) {part}
{kind}City string(40) {part}
{kind}State string(80) {part} "{kind} State/Province"
{kind}PostalCode string(20) {part} "{kind} Zip/Postal Code"
{kind}Country string(80) {part}
{kind}Latitude double(18,15) {part}
{kind}Longitude double(18,15) {part}
{kind}GeocodeAccuracy picklist(40) {part}
{kind}Address address ro
"""


_ACCOUNT = f"""
MasterRecordId reference(Account) ro
Name string(255) R name "Account Name"
Type picklist(255) "Account Type"
RecordTypeId reference(RecordType)
ParentId reference(Account) "Parent Account ID"
{_address("Billing")}
{_address("Shipping")}
Phone phone(40) "Account Phone"
Fax phone(40) "Account Fax"
AccountNumber string(40)
Website url(255)
Sic string(20) "SIC Code"
Industry picklist(255)
AnnualRevenue currency(18,0)
NumberOfEmployees int(8) "Employees"
Ownership picklist(255)
TickerSymbol string(20)
Description textarea(32000) "Account Description"
Rating picklist(255) "Account Rating"
Site string(80) "Account Site"
{_CURRENCY}
{_OWNER}
LastActivityDate date ro
LastViewedDate datetime ro
LastReferencedDate datetime ro
AccountSource picklist(255)
ERP_Number__c string(30) unique extid
ERP_Company__c string(4)
Email__c email(80)
Payment_Terms__c string(10)
Credit_Limit__c currency(18,2)
ERP_On_Hold__c string(20)
ERP_Synced_At__c datetime
"""

_OPPORTUNITY = f"""
AccountId reference(Account) cascade
RecordTypeId reference(RecordType)
IsPrivate boolean def=false "Private"
Name string(120) R name "Name"
Description textarea(32000)
StageName picklist(255) R restricted "Stage"
Amount currency(18,2)
Probability percent(3,0) def "Probability (%)"
ExpectedRevenue currency(18,2) ro calc "Expected Amount"
TotalOpportunityQuantity double(18,2) "Quantity"
CloseDate date R
Type picklist(255) "Opportunity Type"
NextStep string(255)
LeadSource picklist(255)
IsClosed boolean ro def=false "Closed"
IsWon boolean ro def=false "Won"
ForecastCategory picklist(40) ro
ForecastCategoryName picklist(255) def "Forecast Category"
{_CURRENCY}
CampaignId reference(Campaign)
HasOpportunityLineItem boolean ro def=false "Has Line Item"
Pricebook2Id reference(Pricebook2) "Price Book ID"
{_OWNER}
LastActivityDate date ro
PushCount int(9) ro
LastStageChangeDate datetime ro
FiscalQuarter int(9) ro
FiscalYear int(9) ro
Fiscal string(6) ro "Fiscal Period"
LastViewedDate datetime ro
LastReferencedDate datetime ro
HasOpenActivity boolean ro def=false
HasOverdueTask boolean ro def=false
ERP_Company__c string(4)
PO_Number__c string(40)
Requested_Ship_Date__c date
ERP_Order_Number__c string(30) unique extid
ERP_Order_Status__c picklist(255) restricted
ERP_Amount__c currency(18,2)
ERP_Synced_At__c datetime
"""

_LINE = f"""
OpportunityId reference(Opportunity) R co cascade
SortOrder int(9) ro
PricebookEntryId reference(PricebookEntry) co "Price Book Entry ID"
Product2Id reference(Product2) co "Product ID"
ProductCode string(255) ro calc
Name string(376) ro calc name "Opportunity Product Name"
{_CURRENCY}
Quantity double(12,2) R
TotalPrice currency(18,2)
UnitPrice currency(18,2) "Sales Price"
ListPrice currency(18,2) ro calc
Subtotal currency(18,2) ro calc
Discount percent(5,2)
ServiceDate date "Date"
HasRevenueSchedule boolean ro def=false
HasQuantitySchedule boolean ro def=false
HasSchedule boolean ro def=false
CanUseQuantitySchedule boolean ro def=false
CanUseRevenueSchedule boolean ro def=false
Description string(255) "Line Description"
"""

_PRODUCT = f"""
Name string(255) R name "Product Name"
ProductCode string(255)
Description textarea(4000) "Product Description"
IsActive boolean def=false "Active"
Family picklist(255) "Product Family"
{_CURRENCY}
ExternalDataSourceId reference(ExternalDataSource)
ExternalId string(255) "External ID"
DisplayUrl url(1000) "Display URL"
QuantityUnitOfMeasure picklist(255) "Quantity Unit Of Measure"
StockKeepingUnit string(180) "Product SKU"
IsArchived boolean ro def=false "Archived"
LastViewedDate datetime ro
LastReferencedDate datetime ro
"""

_PRICE_BOOK = """
Name string(255) R name "Price Book Name"
IsActive boolean def=false "Active"
IsArchived boolean ro def=false "Archived"
Description string(255)
IsStandard boolean ro def=false "Is Standard Price Book"
LastViewedDate datetime ro
LastReferencedDate datetime ro
"""

_PRICE_BOOK_ENTRY = f"""
Name string(255) ro calc name "Product Name"
Pricebook2Id reference(Pricebook2) R co cascade "Price Book ID"
Product2Id reference(Product2) R co cascade "Product ID"
{_CURRENCY}
UnitPrice currency(18,2) R "List Price"
IsActive boolean def=false "Active"
UseStandardPrice boolean def=false
ProductCode string(255) ro calc
IsArchived boolean ro def=false "Archived"
"""

_USER = """
Id id ro def
Username string(80) R
LastName string(80) R
FirstName string(40)
Name string(121) ro name "Full Name"
Email email(128) R
Alias string(8) R
IsActive boolean def=true "Active"
ProfileId reference(Profile) R
UserType picklist(40) ro
TimeZoneSidKey picklist(40) R "Time Zone"
LocaleSidKey picklist(40) R "Locale"
LanguageLocaleKey picklist(40) R "Language"
EmailEncodingKey picklist(40) R "Email Encoding"
FederationIdentifier string(512)
"""

_ORGANIZATION = """
Id id ro def
Name string(80) ro name
IsSandbox boolean ro def=true
InstanceName string(5) ro
OrganizationType picklist(40) ro
NamespacePrefix string(15) ro
TrialExpirationDate datetime ro
TimeZoneSidKey picklist(40) ro
DefaultLocaleSidKey picklist(40) ro
LanguageLocaleKey picklist(40) ro
FiscalYearStartMonth int(9) ro
"""

_RECORD_TYPE = """
Id id ro def
Name string(80) ro name
DeveloperName string(80) ro
SobjectType picklist(40) ro
IsActive boolean ro def=true
NamespacePrefix string(15) ro
Description string(255) ro
BusinessProcessId reference(BusinessProcess) ro
"""

_STAGE = """
Id id ro def
MasterLabel string(255) ro name
ApiName string(255) ro
IsActive boolean ro def=true
SortOrder int(9) ro
IsClosed boolean ro def=false
IsWon boolean ro def=false
ForecastCategory picklist(40) ro
ForecastCategoryName picklist(255) ro
DefaultProbability percent(3,0) ro
Description string(255) ro
"""

_CURRENCY_TYPE = """
Id id ro def
IsoCode picklist(3) ro name
ConversionRate double(18,6) ro
DecimalPlaces int(9) ro
IsActive boolean ro def=true
IsCorporate boolean ro def=false
"""

# (name, label, plural, key prefix, notation, children as (relationship name, child, field))
_OBJECTS: tuple[tuple[str, str, str, str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("Account", "Account", "Accounts", "001", _SYSTEM + _ACCOUNT + _STAMPS, (
        ("Opportunities", "Opportunity", "AccountId"), ("ChildAccounts", "Account", "ParentId"))),
    ("Opportunity", "Opportunity", "Opportunities", "006", _SYSTEM + _OPPORTUNITY + _STAMPS, (
        ("OpportunityLineItems", "OpportunityLineItem", "OpportunityId"),)),
    ("OpportunityLineItem", "Opportunity Product", "Opportunity Products", "00k", _SYSTEM + _LINE + _STAMPS, ()),
    ("Product2", "Product", "Products", "01t", _SYSTEM + _PRODUCT + _STAMPS, (
        ("PricebookEntries", "PricebookEntry", "Product2Id"),)),
    ("Pricebook2", "Price Book", "Price Books", "01s", _SYSTEM + _PRICE_BOOK + _STAMPS, (
        ("PricebookEntries", "PricebookEntry", "Pricebook2Id"), ("Opportunities", "Opportunity", "Pricebook2Id"))),
    ("PricebookEntry", "Price Book Entry", "Price Book Entries", "01u", _SYSTEM + _PRICE_BOOK_ENTRY + _STAMPS, (
        ("OpportunityLineItems", "OpportunityLineItem", "PricebookEntryId"),)),
    ("User", "User", "Users", "005", _USER + _STAMPS, ()),
    ("Organization", "Organization", "Organizations", "00D", _ORGANIZATION + _STAMPS, ()),
    ("RecordType", "Record Type", "Record Types", "012", _RECORD_TYPE + _STAMPS, ()),
    ("OpportunityStage", "Opportunity Stage", "Opportunity Stage", "01J", _STAGE + _STAMPS, ()),
    ("CurrencyType", "Currency Type", "Currency Types", "01L", _CURRENCY_TYPE + _STAMPS, ()),
)  # fmt: skip

# What the org is made of, as against what people put in it: read-only here, and not part of a seed's counts.
SETUP_OBJECTS = frozenset({"User", "Organization", "RecordType", "OpportunityStage", "CurrencyType"})


def _built() -> dict[str, SObject]:
    catalogue = {}
    for name, label, plural, prefix, notation, _ in _OBJECTS:
        fields = fields_from(notation, _VALUES)
        fields = tuple(replace(each, label=f"{label} ID") if each.name == "Id" else each for each in fields)
        catalogue[name] = SObject(name, label, plural, prefix, fields, writeable=name not in SETUP_OBJECTS)
    for name, *_, children in _OBJECTS:
        known = tuple(
            ChildRelationship(relation, child, key, catalogue[child].by_name[key.lower()].cascade)
            for relation, child, key in children
        )
        catalogue[name] = replace(catalogue[name], children=known)
    return catalogue


CATALOGUE: dict[str, SObject] = _built()
BY_LOWER_NAME: dict[str, SObject] = {name.lower(): each for name, each in CATALOGUE.items()}
BY_PREFIX: dict[str, SObject] = {each.prefix: each for each in CATALOGUE.values()}
