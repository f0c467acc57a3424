"""ETags as D365 makes them: version and record id of each data source of the entity, in base64."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from sandbox.d365.catalogue import Entity

NO_ROW = "0,0"
PARTY_DISTANCE = 2252
"""The party of a customer is a row of another table, whose ids run at a distance."""


def etag_maker(entity: Entity) -> Callable[[int, int], str]:
    """A function from (record id, version) to the ETag; data sources without a row show as `0,0`."""
    after = "".join(f";{_source(source)}" for source in entity.data_sources[1:])

    def etag(rec_id: int, version: int) -> str:
        text = f"'{version},{rec_id}{after.format(own=rec_id, party=rec_id + PARTY_DISTANCE)}'"
        return f'W/"{b64encode(text.encode()).decode()}"'

    return etag


def _source(source: str) -> str:
    return {"party": "1,{party}", "header": "1,{own}"}.get(source, NO_ROW)
