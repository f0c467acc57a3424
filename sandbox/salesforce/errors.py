"""What Salesforce says when it refuses: status, code and text of each error body."""

from collections.abc import Sequence

_ABOUT_CUSTOM_FIELDS = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)
_ABOUT_CUSTOM_OBJECTS = (
    "If you are attempting to use a custom object, be sure to append the '__c' after the entity name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)
_ABOUT_CUSTOM_RELATIONSHIPS = (
    "If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship "
    "name. Please reference your WSDL or the describe call for the appropriate names."
)


class SalesforceError(Exception):
    """A refusal: `status` of the HTTP answer, and the code, text and fields of its body.

    `fields` is None where Salesforce sends no such key (everything but writes).
    """

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, object]]:
        """The body of a REST answer: an array of one."""
        entry: dict[str, object] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            entry["fields"] = list(self.fields)
        return [entry]

    def row_error(self) -> dict[str, object]:
        """The same inside a collections answer, where the code is called `statusCode`."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}


def refused(code: str, message: str, *fields: str) -> SalesforceError:
    """A write that breaks a rule: 400 with the fields concerned."""
    return SalesforceError(400, code, message, fields)


def bad_request(code: str, message: str) -> SalesforceError:
    """A request that cannot be understood: 400 without fields."""
    return SalesforceError(400, code, message)


def not_found(message: str = "The requested resource does not exist") -> SalesforceError:
    return SalesforceError(404, "NOT_FOUND", message)


def no_such_column(name: str, sobject: str) -> str:
    """The end of the message about an unknown column in a query."""
    return f"No such column '{name}' on entity '{sobject}'. {_ABOUT_CUSTOM_FIELDS}"


def no_such_object(name: str) -> str:
    """The end of the message about an unknown object in a query."""
    return f"sObject type '{name}' is not supported. {_ABOUT_CUSTOM_OBJECTS}"


def no_such_relationship(name: str, place: str) -> str:
    """The end of the message about an unknown relationship; `place` is `field path` or `FROM part of query call`."""
    return f"Didn't understand relationship '{name}' in {place}. {_ABOUT_CUSTOM_RELATIONSHIPS}"


def session_expired() -> SalesforceError:
    return SalesforceError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def entity_is_deleted() -> SalesforceError:
    return SalesforceError(404, "ENTITY_IS_DELETED", "entity is deleted", ())


def unknown_exception(error_id: str) -> SalesforceError:
    """A fault of the org itself."""
    return SalesforceError(
        500,
        "UNKNOWN_EXCEPTION",
        f"An unexpected error occurred. Please include this ErrorId if you contact support: {error_id}",
    )
