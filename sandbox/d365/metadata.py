"""The service document and `$metadata` (EDMX) of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from xml.sax.saxutils import quoteattr

import orjson

from sandbox.d365.catalogue import NAMESPACE, Entity, Property, catalogue
from sandbox.d365.errors import JSON, Answer

TERM = "Microsoft.Dynamics.OData.Core.V1"


def service_document(base: str) -> Answer:
    """The list of sets."""
    value = [{"name": name, "kind": "EntitySet", "url": name} for name in catalogue().entities]
    body = {"@odata.context": f"{base}/data/$metadata", "value": value}
    return Answer(200, orjson.dumps(body), {"Content-Type": JSON})


@cache
def metadata() -> Answer:
    """The EDMX document. No MaxLength, Precision or Scale anywhere, as with the real one."""
    return Answer(200, "\n".join(_edmx()).encode(), {"Content-Type": "application/xml"})


def _edmx() -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">'
    yield " <edmx:DataServices>"
    yield f'  <Schema Namespace="{NAMESPACE}" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
    for name, members in catalogue().enums.items():
        yield f'   <EnumType Name="{name}">'
        for member, value in members.items():
            yield f'    <Member Name="{member}" Value="{value}" />'
        yield "   </EnumType>"
    for entity in catalogue().entities.values():
        yield from _entity_type(entity)
    yield '   <EntityContainer Name="Resources">'
    for entity in catalogue().entities.values():
        yield from _entity_set(entity)
    yield "   </EntityContainer>"
    yield "  </Schema>"
    yield " </edmx:DataServices>"
    yield "</edmx:Edmx>"


def _entity_type(entity: Entity) -> Iterator[str]:
    yield f'   <EntityType Name="{entity.type_name}">'
    yield "    <Key>"
    for name in entity.key:
        yield f'     <PropertyRef Name="{name}" />'
    yield "    </Key>"
    for of in entity.properties.values():
        yield from _property(of)
    for way in entity.navigation.values():
        target = catalogue().entities[way.target].full_type
        kind = f"Collection({target})" if way.many else target
        yield f'    <NavigationProperty Name="{way.name}" Type="{kind}" />'
    if entity.is_read_only:
        yield f"    {_flag('IsReadOnly', True)}"
    yield f"    {_text('LabelId', entity.label)}"
    yield "   </EntityType>"


def _property(of: Property) -> Iterator[str]:
    nullable = "" if of.kind in ("String", "Enum") and not of.is_key else ' Nullable="false"'
    yield f'    <Property Name="{of.name}" Type="{of.edm_type}"{nullable}>'
    if not of.is_editable:
        yield f"     {_flag('AllowEdit', False)}"
        if not of.is_set_on_create:
            yield f"     {_flag('AllowEditOnCreate', False)}"
    if of.is_required:
        yield f"     {_flag('IsRequired', True)}"
    yield f'     <Annotation Term="{TERM}.AXType"><EnumMember>{TERM}.AXType/{of.ax_type}</EnumMember></Annotation>'
    yield "    </Property>"


def _entity_set(entity: Entity) -> Iterator[str]:
    yield f'    <EntitySet Name="{entity.set_name}" EntityType="{entity.full_type}">'
    for way in entity.navigation.values():
        yield f'     <NavigationPropertyBinding Path="{way.name}" Target="{way.target}" />'
    yield "    </EntitySet>"


def _flag(term: str, value: bool) -> str:
    return f'<Annotation Term="{TERM}.{term}" Bool="{str(value).lower()}" />'


def _text(term: str, value: str) -> str:
    return f'<Annotation Term="{TERM}.{term}" String={quoteattr(value)} />'
