"""The refusals of D365 with the bodies that clients have to live with (Microsoft: OData errors, recorded answers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from sandbox.d365.catalogue import Entity

WRITE_EXCEPTION = "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException"
ODATA_EXCEPTION = "Microsoft.OData.ODataException"
USELESS_MESSAGE = "An error has occurred."
NOT_SELECTED_FOR_UPDATE = "No resources were found when selecting for update."

_STACK = {
    WRITE_EXCEPTION: "   at Microsoft.Dynamics.Platform.Integration.Services.OData.Update.UpdateProcessor.Save()",
    ODATA_EXCEPTION: "   at Microsoft.OData.UriParser.ODataUriParser.ParseUri()",
}

JSON = "application/json; odata.metadata=minimal"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, before it is known whether it travels alone or as a part of a batch."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class RequestRefusedError(Exception):
    """The request cannot be fulfilled; carries the whole answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class WriteRefusedError(Exception):
    """A row was refused by the rules of D365; the status is a switch, so it is added where the answer is made."""


def envelope(message: str, exception: str = ODATA_EXCEPTION) -> bytes:
    """The OData error body: the outer message never says anything, the inner one does."""
    inner = {"message": message, "type": exception, "stacktrace": _STACK.get(exception, "")}
    return orjson.dumps({"error": {"code": "", "message": USELESS_MESSAGE, "innererror": inner}})


def bad_request(message: str, exception: str = ODATA_EXCEPTION, status: int = 400) -> RequestRefusedError:
    """A refusal in the OData envelope."""
    return RequestRefusedError(Answer(status, envelope(message, exception), {"Content-Type": JSON}))


def no_route(uri: str) -> RequestRefusedError:
    """A set that does not exist, or a key without names: not the OData envelope."""
    message = (
        f"No HTTP resource was found that matches the request URI '{uri}'. No route data was found for this request."
    )
    return RequestRefusedError(
        Answer(404, orjson.dumps({"Message": message}), {"Content-Type": "application/json; charset=utf-8"})
    )


def no_row() -> RequestRefusedError:
    """A key GET that finds nothing."""
    return RequestRefusedError(Answer(404))


def unauthorized() -> RequestRefusedError:
    """A token that is absent, dead, or meant for another environment."""
    body = {
        "Message": "Authentication failed.",
        "StackTrace": None,
        "ExceptionType": "System.InvalidOperationException",
    }
    return RequestRefusedError(
        Answer(
            401, orjson.dumps(body), {"Content-Type": "application/json; charset=utf-8", "WWW-Authenticate": "Bearer"}
        )
    )


def forbidden(entity: Entity) -> RequestRefusedError:
    """The user behind the app lacks the role for an entity."""
    return RequestRefusedError(
        Answer(
            403,
            orjson.dumps({"Message": f"Access to entity {entity.aot_name} is denied."}),
            {"Content-Type": "application/json; charset=utf-8"},
        )
    )


def unknown_property_in_url(name: str, entity: Entity) -> RequestRefusedError:
    """`$filter`, `$select` or `$orderby` names something that is not there."""
    return bad_request(f"Could not find a property named '{name}' on type '{entity.full_type}'.")


def unknown_property_in_body(name: str, entity: Entity) -> RequestRefusedError:
    """A written row names something that is not there; refused before any business logic runs."""
    return bad_request(
        f"The property '{name}' does not exist on type '{entity.full_type}'. "
        "Make sure to only use property names that are defined by the type."
    )


def write_failed(entity: Entity, *infolog: str) -> WriteRefusedError:
    """A write that the business logic refused; `infolog` are its messages in their order."""
    return WriteRefusedError(f"Write failed for table row of type '{entity.aot_name}'. Infolog: {'; '.join(infolog)}.")


def field_refused(entity: Entity, name: str, reason: str) -> WriteRefusedError:
    """validateField said no, with the reason before it."""
    return write_failed(
        entity, f"Warning: {reason}", f"Warning: validateField failed on field '{entity.aot_name}.{name}'"
    )


def row_refused(entity: Entity, reason: str) -> WriteRefusedError:
    """validateWrite said no, with the reason before it."""
    source = f"{entity.table_name} ({entity.table_name})"
    return write_failed(entity, f"Warning: {reason}", f"Warning: validateWrite failed on data source '{source}'")


def already_exists(entity: Entity, shown: str) -> WriteRefusedError:
    """The key is taken. The double full stop at the end is real."""
    return write_failed(
        entity,
        f"Info: Cannot create a record in {entity.table_label} ({entity.table_name}). {shown}.\n"
        "The record already exists.",
    )


def update_conflict(entity: Entity, shown: str) -> WriteRefusedError:
    """Somebody else changed the row between reading and writing it."""
    return WriteRefusedError(
        f"Cannot edit a record in {entity.table_label} ({entity.table_name}). {shown}. An update conflict occurred due "
        "to another user process deleting the record or changing one or more fields in the record."
    )


def delete_refused(entity: Entity, reason: str) -> WriteRefusedError:
    """validateDelete or a restricted delete action said no."""
    return WriteRefusedError(f"Delete failed for table row of type '{entity.aot_name}'. Infolog: Error: {reason}.")
