"""Signing in with Microsoft Entra: OpenID Connect with PKCE, by authlib. Only the name and the app roles stay in the session."""

from urllib.parse import urlencode

from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk.access import SESSION_ROLES, SESSION_USER
from desk.settings import DeskSettings
from resources.secrets import HeldSecret, read_secret

SIGN_IN = "/sign-in"
SIGNED_IN = "/signed-in"
SIGN_OUT = "/sign-out"
SESSION_NEXT = "next"
REFUSED_CLIENT = frozenset({"invalid_client", "unauthorized_client"})
"""What Entra says of a secret that is wrong or has expired."""


def sign_in_routes(settings: DeskSettings) -> list[Route]:
    """The three addresses of signing in and out; `{TIEOUT_DESK_URL}/signed-in` is the redirect URI to register in Entra."""
    held = HeldSecret(settings.client_secret, read_secret)
    oauth = OAuth()
    oauth.register(
        "entra",
        client_id=settings.client_id,
        client_secret=held.value(),
        server_metadata_url=f"{settings.authority_url}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
    )

    async def sign_in(request: Request) -> Response:
        request.session[SESSION_NEXT] = local_path(request.query_params.get("next", "/"))
        answer: Response = await oauth.entra.authorize_redirect(request, f"{settings.address}{SIGNED_IN}")
        return answer

    async def signed_in(request: Request) -> Response:
        version = held.version
        try:
            token = await oauth.entra.authorize_access_token(request)
        except OAuthError as problem:
            if problem.error in REFUSED_CLIENT and held.renewed(since=version):
                # The secret was rotated meanwhile. The code is spent, so the sign-in begins anew; nobody has to type anything.
                oauth.entra.client_secret = held.value()
                return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': request.session.get(SESSION_NEXT, '/')})}", 303)
            # The description is Entra's own and holds no secret; it says what the administrator has to do.
            raise HTTPException(403, f"Entra did not sign you in: {problem.description or problem.error}") from None
        claims = token["userinfo"]
        target = local_path(request.session.get(SESSION_NEXT, "/"))
        request.session.clear()
        # The name that administrators know people by; `sub` is there always, but nobody knows it.
        request.session[SESSION_USER] = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        request.session[SESSION_ROLES] = [str(role) for role in claims.get("roles", [])]
        return RedirectResponse(target, 303)

    async def sign_out(request: Request) -> Response:
        request.session.clear()
        return RedirectResponse("/", 303)

    return [
        Route(SIGN_IN, sign_in),
        Route(SIGNED_IN, signed_in),
        Route(SIGN_OUT, sign_out, methods=["POST"]),
    ]


def local_path(wanted: str) -> str:
    """`wanted` where it is a path of this desk, else the first page: nobody is sent to another site from here."""
    is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable()
    return wanted if is_ours else "/"
