"""Who may read the feed: whoever may see the desk, and programs that know the feed's token.

Power BI, Excel and Salesforce Connect cannot sign in as a browser does; they send the token as the password of HTTP Basic.
"""

import base64
import binascii
import hmac

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from desk.access import Access, SignInNeededError, Viewer
from desk.feed.answers import problem_answer
from desk.feed.problems import FeedProblem
from desk.settings import DeskSettings

ADDRESS = "/odata"
_READER = Viewer("the feed's token", "reader")
_CHALLENGE = {"www-authenticate": 'Basic realm="Tieout", charset="UTF-8"'}


def is_feed(path: str) -> bool:
    """Whether an address belongs to the feed."""
    return path == ADDRESS or path.startswith(f"{ADDRESS}/")


def feed_viewer(request: Request, settings: DeskSettings, access: Access) -> Viewer | Response:
    """Who asks, or the answer that refuses them: 401 with a challenge where a token would help, otherwise 401 or 403."""
    given = request.headers.get("authorization", "")
    if settings.feed_token and given.lower().startswith("basic "):
        if _is_token(given[6:].strip(), settings.feed_token):
            return _READER
        # A proxy that signs people in by HTTP Basic passes their header on; its own word is then asked for below.
        if settings.sign_in != "header":
            return _refused(
                settings, 401, "The token is not the feed's. It is the password; the user name is of no matter."
            )
    try:
        return access.viewer(request)
    except SignInNeededError:
        return _refused(settings, 401, "Nobody is signed in.")
    except HTTPException as problem:
        return _refused(settings, 401 if settings.feed_token else problem.status_code, problem.detail)


def _is_token(credentials: str, token: str) -> bool:
    try:
        _, _, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (ValueError, binascii.Error):
        return False
    # In constant time: how long a wrong token is compared must not tell how much of it is right.
    return hmac.compare_digest(password, token.encode())


def _refused(settings: DeskSettings, status: int, message: str) -> Response:
    if not settings.feed_token:
        return problem_answer(FeedProblem(status, f"{message} TIEOUT_FEED_TOKEN lets programs read the feed."))
    return problem_answer(FeedProblem(status, message), _CHALLENGE)
