"""What a page needs to answer: the lake, the ledger, the contracts, who is asking, and the way to HTML."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from desk.access import TOKEN_FIELD, TOKEN_HEADER, Access, Viewer
from desk.entra import local_path
from desk.links import Links
from desk.settings import DeskSettings
from desk.writing import environment, has_control_characters
from resources.lake import Lake
from resources.ledger import Ledger
from tieout.contract import Contracts


@dataclass(frozen=True)
class Desk:
    """Everything that is open while the desk runs."""

    settings: DeskSettings
    access: Access
    lake: Lake
    ledger: Ledger
    contracts: Contracts
    links: Links

    def page(
        self,
        request: Request,
        template: str,
        context: Mapping[str, Any],
        status: int = 200,
        parts: Mapping[str, str] = MappingProxyType({}),
    ) -> Response:
        """A whole page, or the part of it that htmx asked for: `parts` maps an element's id (`HX-Target`) to its template."""
        viewer: Viewer | None = getattr(request.state, "viewer", None)
        shared = {
            "viewer": viewer,
            "token": self.access.token(viewer) if viewer else "",
            "here": request.url.path,
            "address": str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
            "signs_in": self.settings.sign_in == "entra",
            "newest_decision": self.ledger.decisions.newest() if viewer else 0,
            "said": request.query_params.get("said", ""),
        }
        wanted = parts.get(request.headers.get("hx-target", ""), template)
        text = environment().get_template(wanted).render({**shared, **context})
        # A lone surrogate in a name has no UTF-8 form; as a character reference it cannot break the page.
        return HTMLResponse(text.encode("utf-8", "xmlcharrefreplace"), status)


def desk_of(request: Request) -> Desk:
    """The desk that answers this request."""
    return cast(Desk, request.app.state.desk)


def viewer_of(request: Request) -> Viewer:
    """Who asks; the app has found out before any page is called."""
    return cast(Viewer, request.state.viewer)


async def decided(request: Request) -> FormData:
    """The form of a request that changes something, after it was checked (403 where it may not)."""
    form = await request.form()
    # Keys and filters are made by the page; texts that people write lose such characters where they are kept.
    for name in ("identity", "pair", "filter", "version", "company", "month"):
        if any(has_control_characters(unquote_plus(value)) for value in form.getlist(name) if isinstance(value, str)):
            raise HTTPException(400, "The form holds control characters. Load the page again.")
    token = request.headers.get(TOKEN_HEADER) or form.get(TOKEN_FIELD, "")
    desk_of(request).access.check(request, viewer_of(request), token if isinstance(token, str) else "")
    return form


def seen_of(form: FormData) -> int | None:
    """The newest decision that the page showed; None where the form does not say. 400 where it says something else."""
    text = field_of(form, "seen")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HTTPException(400, "The form does not say what its reader has seen. Load the page again.")
    return int(text) if text else None


def field_of(form: FormData, name: str) -> str:
    """One text of a form, without outer blanks; empty where it is missing or a file."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def back(form: FormData, otherwise: str, said: str) -> Response:
    """Back to the page that the form was on (`return_to`), which then says what was done."""
    parts = urlsplit(local_path(field_of(form, "return_to") or otherwise))
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "said"]
    return RedirectResponse(f"{parts.path}?{urlencode([*query, ('said', said)])}", 303)
