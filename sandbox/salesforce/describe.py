"""What the org says about itself: the list of sObjects, and describe with every key that clients read."""

from collections.abc import Mapping
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from sandbox.salesforce import stamps
from sandbox.salesforce.errors import not_found
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, Resource, json_answer, resource
from sandbox.salesforce.schema import ID_TYPES, NUMBER_TYPES, TEXT_TYPES, Field, SObject

MAX_BATCH = 200

_SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime",
    "address": "urn:address",
}  # fmt: skip
_BYTES_PER_CHARACTER = 3


def sobjects(org: Org, call: Call) -> Answer:
    """`GET sobjects`"""
    if _is_known_already(org, call):
        return Answer(304)
    entries = [_summary(each, call) for each in org.objects.values()]
    body = {"encoding": "UTF-8", "maxBatchSize": MAX_BATCH, "sobjects": entries}
    return json_answer(body, **{"Last-Modified": _last_change(org)})


def describe(org: Org, call: Call, name: str) -> Answer:
    """`GET sobjects/Account/describe`"""
    sobject = known_object(org, name)
    if _is_known_already(org, call):
        return Answer(304)
    return json_answer(description(sobject, org.objects, call), **{"Last-Modified": _last_change(org)})


def metadata(org: Org, call: Call, name: str) -> Answer:
    """`GET sobjects/Account`"""
    return json_answer({"objectDescribe": _summary(known_object(org, name), call), "recentItems": []})


def known_object(org: Org, name: str) -> SObject:
    """The visible object of this name; 404 when there is none."""
    found = org.objects.get(name.lower())
    if found is None:
        raise not_found()
    return found


RESOURCES: tuple[Resource, ...] = (
    resource(r"sobjects", GET=sobjects),
    resource(r"sobjects/(?P<name>\w+)/describe", GET=describe),
)


def description(sobject: SObject, objects: Mapping[str, SObject], call: Call) -> dict[str, Any]:
    """The whole describe of one object."""
    return _summary(sobject, call) | {
        "fields": [_field(each) for each in sobject.fields],
        "childRelationships": [
            {
                "childSObject": each.child, "field": each.field, "relationshipName": each.name,
                "cascadeDelete": each.cascade, "restrictedDelete": False, "deprecatedAndHidden": False,
                "junctionIdListNames": [], "junctionReferenceTo": [],
            }
            for each in sobject.children if objects[each.child.lower()].has(each.field)
        ],
        "recordTypeInfos": [{
            "recordTypeId": "012000000000000AAA", "name": "Master", "developerName": "Master", "active": True,
            "available": True, "master": True, "defaultRecordTypeMapping": True, "urls": {},
        }],
        "supportedScopes": [{"label": f"All {sobject.plural}", "name": "everything"}],
        "namedLayoutInfos": [], "actionOverrides": [], "lookupLayoutable": None, "searchLayoutable": True,
        "listviewable": None, "networkScopeFieldName": None, "compactLayoutable": True,
        "defaultImplementation": None, "extendedBy": None, "extendsInterfaces": None, "implementedBy": None,
        "implementsInterfaces": None, "sobjectDescribeOption": "FULL",
    }  # fmt: skip


def _last_change(org: Org) -> str:
    """The catalogue is as old as the org; hiding fields is not a change of it, as on a real org."""
    made = org.store.connection.execute('SELECT "CreatedDate" FROM "Organization"').fetchone()[0]
    return format_datetime(stamps.instant_of(made), usegmt=True)


def _is_known_already(org: Org, call: Call) -> bool:
    try:
        since = parsedate_to_datetime(call.headers["if-modified-since"])
    except (KeyError, ValueError):
        return False
    return since >= parsedate_to_datetime(_last_change(org))


def _summary(sobject: SObject, call: Call) -> dict[str, Any]:
    base = call.url(f"sobjects/{sobject.name}")
    writeable = sobject.writeable
    return {
        "name": sobject.name, "label": sobject.label, "labelPlural": sobject.plural, "keyPrefix": sobject.prefix,
        "custom": False, "customSetting": False, "createable": sobject.may("c"), "updateable": sobject.may("u"),
        "deletable": sobject.may("d"), "undeletable": sobject.may("d"),
        "mergeable": sobject.name == "Account" and sobject.may("d"), "queryable": True,
        "retrieveable": True, "replicateable": sobject.has("IsDeleted"), "searchable": writeable,
        "triggerable": writeable, "layoutable": writeable, "feedEnabled": writeable, "mruEnabled": writeable,
        "activateable": False, "deprecatedAndHidden": False, "hasSubtypes": False, "isSubtype": False,
        "isInterface": False, "associateEntityType": None, "associateParentEntity": None,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }  # fmt: skip


def _field(field: Field) -> dict[str, Any]:
    is_text, is_number = field.type in TEXT_TYPES, field.type in NUMBER_TYPES
    return {
        "name": field.name, "type": field.type, "label": field.label, "length": 0 if field.type == "int" else field.length,
        "precision": field.precision, "scale": field.scale, "nillable": field.nillable, "unique": field.unique,
        "externalId": field.external_id, "idLookup": field.external_id or field.type == "id",
        "createable": field.createable, "updateable": field.updateable, "custom": field.custom,
        "calculated": False, "compoundFieldName": field.compound, "relationshipName": field.relationship,
        "referenceTo": [field.refers_to] if field.refers_to else [],
        "picklistValues": [
            {"active": True, "defaultValue": value == field.default, "label": value, "validFor": None, "value": value}
            for value in field.values
        ],
        "restrictedPicklist": field.restricted, "deprecatedAndHidden": False, "nameField": field.name_field,
        "soapType": _SOAP_TYPES.get(field.type, "xsd:string"), "defaultedOnCreate": field.defaulted,
        "caseSensitive": False, "filterable": field.filterable, "sortable": field.filterable,
        "byteLength": field.length * (_BYTES_PER_CHARACTER if is_text else 1) if is_text or field.type in ID_TYPES else 0,
        "digits": field.length if field.type == "int" else 0,
        "aggregatable": field.filterable and field.type != "boolean", "aiPredictionField": False, "autoNumber": False,
        "calculatedFormula": None, "cascadeDelete": field.cascade, "controllerName": None,
        "defaultValue": field.default if field.type == "boolean" else None, "defaultValueFormula": None,
        "dependentPicklist": False, "displayLocationInDecimal": field.name.endswith(("Latitude", "Longitude")),
        "encrypted": False, "extraTypeInfo": "plaintextarea" if field.type == "textarea" else None,
        "filteredLookupInfo": None, "formulaTreatNullNumberAsZero": False,
        "groupable": field.filterable and not is_number and field.type != "datetime", "highScaleNumber": False,
        "htmlFormatted": False, "inlineHelpText": None, "mask": None, "maskType": None, "namePointing": False,
        "permissionable": not field.required and field.createable and field.custom, "polymorphicForeignKey": False,
        "queryByDistance": False, "referenceTargetField": None, "relationshipOrder": None, "restrictedDelete": False,
        "searchPrefilterable": field.type == "reference", "writeRequiresMasterRead": False,
    }  # fmt: skip
