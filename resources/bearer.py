"""A token on a request."""

import requests
from requests.auth import AuthBase


class Bearer(AuthBase):
    """The token of one call. Given as `auth`, so that no .netrc entry takes its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
