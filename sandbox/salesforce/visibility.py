"""The catalogue as the running user sees it: fields that field-level security hides are simply absent."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from sandbox.salesforce.catalogue import CATALOGUE
from sandbox.salesforce.schema import SObject


def visible_objects(hidden: Iterable[str]) -> Mapping[str, SObject]:
    """All sObjects by lower-case name without the hidden fields, which are named `Account.ERP_Number__c`."""
    return _visible(frozenset(each.lower() for each in hidden))


@lru_cache(maxsize=16)
def _visible(hidden: frozenset[str]) -> Mapping[str, SObject]:
    return {name.lower(): _without(sobject, hidden) for name, sobject in CATALOGUE.items()}


def _without(sobject: SObject, hidden: frozenset[str]) -> SObject:
    kept = tuple(field for field in sobject.fields if f"{sobject.name}.{field.name}".lower() not in hidden)
    return replace(sobject, fields=kept) if len(kept) < len(sobject.fields) else sobject
