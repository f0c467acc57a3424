"""The catalogue as the running user sees it: hidden fields and objects without the right to read are simply absent."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from sandbox.salesforce.catalogue import CATALOGUE
from sandbox.salesforce.schema import Field, SObject


def visible_objects(
    hidden: Iterable[str], read_only: Iterable[str] = (), rights: Mapping[str, str] | None = None
) -> Mapping[str, SObject]:
    """All sObjects by lower-case name without the hidden fields, which are named `Account.ERP_Number__c`, as are those that are only read.

    `rights` names out of `crud` what may be done with the records of an object; an object that it does not name is wholly the user's.
    """
    named = {name.lower(): given for name, given in (rights or {}).items()}
    return _visible(_lower(hidden), _lower(read_only), frozenset(named.items()))


@lru_cache(maxsize=16)
def _visible(
    hidden: frozenset[str], read_only: frozenset[str], rights: frozenset[tuple[str, str]]
) -> Mapping[str, SObject]:
    given = {name.lower(): sobject.rights for name, sobject in CATALOGUE.items()} | dict(rights)
    seen = {
        name.lower(): _seen(sobject, hidden, read_only, given[name.lower()])
        for name, sobject in CATALOGUE.items()
        if "r" in given[name.lower()]
    }
    if len(seen) == len(CATALOGUE):
        return seen
    return {
        name: replace(sobject, children=tuple(each for each in sobject.children if each.child.lower() in seen))
        for name, sobject in seen.items()
    }


def _seen(sobject: SObject, hidden: frozenset[str], read_only: frozenset[str], rights: str) -> SObject:
    kept = tuple(
        _read_only(field) if f"{sobject.name}.{field.name}".lower() in read_only else field
        for field in sobject.fields
        if f"{sobject.name}.{field.name}".lower() not in hidden
    )
    same = kept == sobject.fields and rights == sobject.rights
    return sobject if same else replace(sobject, fields=kept, rights=rights)


def _read_only(field: Field) -> Field:
    return replace(field, createable=False, updateable=False)


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(each.lower() for each in names)
