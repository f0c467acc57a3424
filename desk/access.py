"""Who is at the desk, and whether a request that changes something was made by them and from our own pages."""

import getpass
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.exceptions import HTTPException
from starlette.requests import Request

from desk.settings import ANALYST_ROLE, EVERYONE, DeskSettings

Role = Literal["analyst", "reader"]

SESSION_USER = "user"
SESSION_ROLES = "roles"
TOKEN_FIELD = "csrf"
TOKEN_HEADER = "x-csrf-token"
TOKEN_LIVES_S = 12 * 3600
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody at the desk; `name` goes into every decision."""

    name: str
    role: Role

    @property
    def may_decide(self) -> bool:
        return self.role == "analyst"


class SignInNeededError(Exception):
    """Nobody is signed in, and people can sign in here."""


class Access:
    """The rules of one desk. `secret` signs the tokens; it stays the same over restarts, so that open pages go on working."""

    def __init__(self, settings: DeskSettings, secret: str) -> None:
        self._settings = settings
        self._tokens = URLSafeTimedSerializer(secret, salt="tieout-desk-form")

    def viewer(self, request: Request) -> Viewer:
        """Who asks; 403 where a proxy has to say and does not, SignInNeededError where they have to sign in first."""
        match self._settings.sign_in:
            case "local":
                return self._named(getpass.getuser())
            case "header":
                return self._named(self._from_proxy(request))
            case _:
                name = request.session.get(SESSION_USER, "")
                if not name:
                    raise SignInNeededError
                return self._named(name, request.session.get(SESSION_ROLES, ()))

    def token(self, viewer: Viewer) -> str:
        """What a form of this viewer carries."""
        return self._tokens.dumps(viewer.name)

    def check(self, request: Request, viewer: Viewer, token: str) -> None:
        """403 unless the request may change something: an analyst, from one of our pages, with a token made for them."""
        if not viewer.may_decide:
            raise HTTPException(403, f"{viewer.name} may read only. TIEOUT_DESK_ANALYSTS names those who decide.")
        origin = request.headers.get("origin")
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"} or (
            origin is not None and urlsplit(origin).netloc not in self._own_hosts(request)
        ):
            raise HTTPException(403, "This was sent from another site, so nothing was changed.")
        try:
            name = self._tokens.loads(token, max_age=TOKEN_LIVES_S)
        except BadSignature:
            name = None
        if name != viewer.name:
            raise HTTPException(403, "The page is too old, or was made for somebody else. Load it again, then repeat.")

    def _own_hosts(self, request: Request) -> set[str]:
        own = {request.headers.get("host", "")}
        if self._settings.address:
            own.add(urlsplit(self._settings.address).netloc)
        return own

    def _from_proxy(self, request: Request) -> str:
        client = request.client.host if request.client else ""
        try:
            trusted = any(ip_address(client) in ip_network(proxy) for proxy in self._settings.proxies)
        except ValueError:
            trusted = False
        if not trusted:
            # Anybody can write a header; only the proxy's is worth something.
            raise HTTPException(403, "The desk answers its reverse proxy only. TIEOUT_DESK_PROXIES names its address.")
        # Two values would leave open whose the second is.
        names = request.headers.getlist(self._settings.user_header)
        if len(names) != 1 or not names[0].strip():
            raise HTTPException(
                403, f"The reverse proxy did not say who you are: one header {self._settings.user_header} is needed."
            )
        return names[0].strip()

    def _named(self, name: str, roles: object = ()) -> Viewer:
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise HTTPException(403, "The name of the user is not one that can be kept.")
        named = EVERYONE in self._settings.analysts or name.casefold() in self._settings.analysts
        has_role = isinstance(roles, list | tuple) and ANALYST_ROLE in roles
        return Viewer(name, "analyst" if named or has_role else "reader")
