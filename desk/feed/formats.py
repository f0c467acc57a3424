"""Which form of JSON a client wants: how much is told about it, and whether long numbers are texts (JSON Format 4.0, 3)."""

from dataclasses import dataclass
from typing import Literal, get_args

from desk.feed.problems import FeedProblem, wrong

Metadata = Literal["none", "minimal", "full"]


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """`exact_as_text`: Edm.Decimal and Edm.Int64 as texts, for clients whose numbers are binary fractions."""

    metadata: Metadata = "minimal"
    exact_as_text: bool = False

    @property
    def media_type(self) -> str:
        """What the answer is called."""
        text = str(self.exact_as_text).lower()
        return f"application/json;odata.metadata={self.metadata};IEEE754Compatible={text};charset=utf-8"


def json_format(option: str, accept: str) -> JsonFormat:
    """The form for `$format`, which goes before the header `Accept`. FeedProblem 406 where JSON is not among what is wanted."""
    if option:
        wanted = "application/json" if option == "json" else option
        found = _json_of(wanted)
        if found is None:
            raise FeedProblem(406, "The feed speaks JSON only: $format=json.", "$format")
        return found
    ranges = [each for each in accept.split(",") if each.strip()]
    for each in ranges:
        found = _json_of(each)
        if found is not None:
            return found
    if ranges:
        raise FeedProblem(406, "The feed speaks JSON only: Accept: application/json.", "Accept")
    return JsonFormat()


def page_size(prefer: str, usual: int, largest: int) -> tuple[int, bool]:
    """Rows of a page by the header `Prefer: odata.maxpagesize=…`, and whether it was obeyed in any way."""
    for each in prefer.replace(";", ",").split(","):
        name, _, value = each.strip().partition("=")
        digits = value.strip().strip('"')
        if name.strip().lower() in ("odata.maxpagesize", "maxpagesize") and digits.isascii() and digits.isdigit():
            asked = int(digits[:12])
            if asked > 0:
                return min(asked, largest), True
    return usual, False


def check_version(header: str) -> None:
    """FeedProblem 400 where `OData-MaxVersion` is older than 4.0: the feed has nothing for such a client."""
    if header and header.partition(".")[0].strip() in ("1", "2", "3"):
        raise wrong("The feed speaks OData 4.0, OData-MaxVersion asks for less.", "OData-MaxVersion")


def _json_of(media_range: str) -> JsonFormat | None:
    kind, *parameters = (part.strip() for part in media_range.split(";"))
    if kind.lower() not in ("application/json", "application/*", "*/*"):
        return None
    given = {}
    for each in parameters:
        name, _, value = each.partition("=")
        given[name.strip().lower()] = value.strip().strip('"').lower()
    metadata = given.get("odata.metadata", given.get("metadata", "minimal"))
    return JsonFormat(
        metadata if metadata in get_args(Metadata) else "minimal",  # type: ignore[arg-type]  # checked here
        given.get("ieee754compatible") == "true",
    )
