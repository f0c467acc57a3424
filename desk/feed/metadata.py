"""The documents that describe the feed: `$metadata` (CSDL 4.0 as XML), and the service document."""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from desk.feed.functions import FUNCTIONS
from desk.feed.model import CONTAINER, ENTITY_SETS, NAMESPACE, Edm, EntitySet, Property

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_VOCABULARIES = "https://oasis-tcs.github.io/odata-vocabularies/vocabularies"
_CORE, _CAPABILITIES = "Org.OData.Core.V1", "Org.OData.Capabilities.V1"
_READ_ONLY = (
    ("InsertRestrictions", "Insertable"),
    ("UpdateRestrictions", "Updatable"),
    ("DeleteRestrictions", "Deletable"),
    ("ExpandRestrictions", "Expandable"),
    ("SearchRestrictions", "Searchable"),
)


def metadata_xml() -> bytes:
    """The model as XML in UTF-8."""
    root = ET.Element("edmx:Edmx", {"xmlns:edmx": _EDMX, "Version": "4.0"})
    for vocabulary in (_CORE, _CAPABILITIES):
        reference = ET.SubElement(root, "edmx:Reference", Uri=f"{_VOCABULARIES}/{vocabulary}.xml")
        ET.SubElement(reference, "edmx:Include", Namespace=vocabulary)
    schema = ET.SubElement(ET.SubElement(root, "edmx:DataServices"), "Schema", {"xmlns": _EDM, "Namespace": NAMESPACE})
    for entity_set in ENTITY_SETS.values():
        _entity_type(schema, entity_set)
    container = ET.SubElement(schema, "EntityContainer", Name=CONTAINER)
    for entity_set in ENTITY_SETS.values():
        _entity_set(container, entity_set)
    functions = ET.SubElement(
        ET.SubElement(container, "Annotation", Term=f"{_CAPABILITIES}.FilterFunctions"), "Collection"
    )
    for name in FUNCTIONS:
        ET.SubElement(functions, "String").text = name
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def service_document(root: str) -> Mapping[str, Any]:
    """Names and addresses of the entity sets; `root` is the address of the feed, with a slash at its end."""
    return {
        "@odata.context": f"{root}$metadata",
        "value": [{"name": name, "kind": "EntitySet", "url": name} for name in ENTITY_SETS],
    }


def _entity_type(schema: ET.Element, entity_set: EntitySet) -> None:
    made = ET.SubElement(schema, "EntityType", Name=entity_set.entity_type)
    ET.SubElement(ET.SubElement(made, "Key"), "PropertyRef", Name=entity_set.key)
    for each in entity_set.properties:
        _described(ET.SubElement(made, "Property", _facets(each)), each.words)
    _described(made, entity_set.words)


def _facets(each: Property) -> dict[str, str]:
    facets = {"Name": each.name, "Type": str(each.edm)}
    if not each.nullable:
        facets["Nullable"] = "false"
    if each.edm in (Edm.DECIMAL, Edm.INSTANT):
        facets["Precision"] = str(each.precision)
    if each.edm is Edm.DECIMAL:
        facets["Scale"] = str(each.scale)
    return facets


def _entity_set(container: ET.Element, entity_set: EntitySet) -> None:
    made = ET.SubElement(
        container, "EntitySet", Name=entity_set.name, EntityType=f"{NAMESPACE}.{entity_set.entity_type}"
    )
    for term, able in _READ_ONLY:
        ET.SubElement(_record(made, term), "PropertyValue", Property=able, Bool="false")
    if unsorted := [each.name for each in entity_set.properties if each.is_long]:
        value = ET.SubElement(_record(made, "SortRestrictions"), "PropertyValue", Property="NonSortableProperties")
        paths = ET.SubElement(value, "Collection")
        for name in unsorted:
            ET.SubElement(paths, "PropertyPath").text = name


def _record(parent: ET.Element, term: str) -> ET.Element:
    return ET.SubElement(ET.SubElement(parent, "Annotation", Term=f"{_CAPABILITIES}.{term}"), "Record")


def _described(parent: ET.Element, words: str) -> None:
    ET.SubElement(parent, "Annotation", Term=f"{_CORE}.Description", String=words)
