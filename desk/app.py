"""The desk as a web application: which address is answered by which page, and what every answer carries."""

from pathlib import Path
from urllib.parse import unquote_plus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from desk.access import SignInNeededError
from desk.desk import Desk
from desk.entra import SIGN_IN, sign_in_routes
from desk.events import PREFIX, event_routes
from desk.feed import routes as feed
from desk.feed.access import feed_viewer, is_feed
from desk.pages import breaks, matches, overview, periods, records
from desk.settings import EventSettings
from desk.writing import has_control_characters, query
from tieout.errors import TieoutError

# Scripts and styles come from here and from nowhere else, and nobody may put the desk into a frame.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: browsers then send `Origin: null` with our own forms, which cannot be told from a foreign site's.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_STATIC = Path(__file__).parent / "static"
SESSION_LIVES_S = 12 * 3600


def create_app(desk: Desk, secret: str, events: EventSettings | None = None) -> Starlette:
    """The application. `secret` signs the session of people who sign in with Entra. With `events` it receives events of the systems, too."""
    settings = desk.settings
    middleware = [Middleware(_Always), Middleware(_Readable)]
    routes = [
        Route("/healthz", _healthz),
        *overview.routes,
        *breaks.routes,
        *records.routes,
        *matches.routes,
        *periods.routes,
        *feed.routes,
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
    ]
    if events is not None:
        routes += event_routes(desk.ledger, events)
    if settings.sign_in == "local":
        # A name on the internet may point at this machine; only its own names are answered.
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"]))
    if settings.sign_in == "entra":
        middleware.append(
            Middleware(
                SessionMiddleware,
                secret_key=secret,
                session_cookie="tieout-desk",
                max_age=SESSION_LIVES_S,
                same_site="lax",
                https_only=settings.address.startswith("https://"),
            )
        )
        routes += sign_in_routes(settings)
    middleware.append(Middleware(_WhoAsks))
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            HTTPException: _refused,
            TieoutError: _told,
            SignInNeededError: _to_sign_in,
            Exception: _failed,
        },
    )
    app.state.desk = desk
    return app


class _Always:
    """Headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message):  # type: ignore[no-untyped-def]
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                extra = dict(_HEADERS)
                if not scope["path"].startswith("/static/"):
                    extra["cache-control"] = "no-store"
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in extra.items() if name.encode() not in names),
                ]
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _Readable:
    """Refuses addresses with characters that nobody can type: no page means them, and neither Postgres nor a chart takes them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_feed(scope["path"]):
            asked = scope["path"] + unquote_plus(scope["query_string"].decode("latin-1"))
            if has_control_characters(asked):
                refusal = Response(
                    "The address holds control characters. Follow a link, or type it anew.",
                    400,
                    media_type="text/plain",
                )
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _WhoAsks:
    """Finds out who asks before any page is called; style sheets, the way to sign in and events (which have a secret) need nobody."""

    _OPEN = ("/static/", "/healthz", "/sign-in", "/signed-in", "/sign-out", PREFIX)

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(self._OPEN):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        desk: Desk = scope["app"].state.desk
        if is_feed(scope["path"]):
            # Programs cannot follow a redirect to a page where people sign in.
            found = feed_viewer(request, desk.settings, desk.access)
            if isinstance(found, Response):
                await found(scope, receive, send)
                return
            request.state.viewer = found
            await self._app(scope, receive, send)
            return
        try:
            request.state.viewer = desk.access.viewer(request)
        except SignInNeededError as problem:
            await (await _to_sign_in(request, problem))(scope, receive, send)
        except HTTPException as problem:
            await (await _refused(request, problem))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def _healthz(_request: Request) -> Response:
    return Response("ok", media_type="text/plain")


async def _to_sign_in(request: Request, _problem: Exception) -> Response:
    if request.method != "GET":
        return Response("You are no longer signed in. Load the page again.", 401, media_type="text/plain")
    return RedirectResponse(f"{SIGN_IN}?{query({'next': _asked(request)})}", 303)


def _asked(request: Request) -> str:
    return str(request.url.path) + (f"?{request.url.query}" if request.url.query else "")


async def _failed(_request: Request, _problem: Exception) -> Response:
    """What nobody foresaw: it is in the desk's log, and the answer carries what every answer carries."""
    said = "Something went wrong here that should not. It is in the desk's log; go back and try it another way."
    return Response(said, 500, {**_HEADERS, "cache-control": "no-store"}, media_type="text/plain")


async def _refused(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    words = {404: "There is no such page.", 405: "This address is for forms only."}
    said = words.get(problem.status_code, problem.detail)
    return request.app.state.desk.page(request, "problem.html.j2", {"problem": said}, problem.status_code)  # type: ignore[no-any-return]


async def _told(request: Request, problem: Exception) -> Response:
    """An error whose text says what to do: a record that is not there, a lake without the table, a database that is away."""
    return request.app.state.desk.page(request, "problem.html.j2", {"problem": str(problem)}, 422)  # type: ignore[no-any-return]
