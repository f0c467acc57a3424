"""How rules of faults come into a sandbox: its route, and a file at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.control import json_response, refusal
from sandbox.common.faults import Faults

SYSTEMS = ("salesforce", "d365")


def fault_routes(faults: Faults) -> list[Route]:
    """`POST /_sandbox/faults` adds rules, `GET` shows them, `DELETE` forgets them; what is under way still comes."""

    def shown() -> Response:
        return json_response(faults.rules.as_dict() | {"under_way": faults.under_way})

    async def change(request: Request) -> Response:
        if request.method == "DELETE":
            faults.rules.clear()
        elif request.method == "POST":
            try:
                faults.rules.add(orjson.loads(await request.body()))
            except orjson.JSONDecodeError as problem:
                return refusal(f"The rules are not JSON: {problem}.")
            except ValueError as problem:
                return refusal(str(problem))
        return shown()

    return [Route("/_sandbox/faults", change, methods=["GET", "POST", "DELETE"])]


class FaultFileError(Exception):
    """A file of rules that cannot be used; the text is the sentence to tell."""


def add_rules_of_file(faults: Faults, file: Path | None, system: str) -> None:
    """Add the rules in a JSON file: as the route takes them, or an object with a key for each system.

    Raises FaultFileError when the file cannot be read or a rule is not right. None adds nothing.
    """
    if file is None:
        return
    try:
        wanted: Any = orjson.loads(file.read_bytes())
    except OSError as problem:
        raise FaultFileError(f"Cannot read the faults in {file}: {problem.strerror}.") from None
    except orjson.JSONDecodeError as problem:
        raise FaultFileError(f"The faults in {file} are not JSON: {problem}.") from None
    if isinstance(wanted, dict) and wanted and set(wanted) <= set(SYSTEMS):
        wanted = wanted.get(system, [])
    try:
        faults.rules.add(wanted)
    except ValueError as problem:
        raise FaultFileError(f"The faults in {file} are not right: {problem}") from None
