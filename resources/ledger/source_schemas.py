"""How the fields of both systems were when they were last looked at."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine, delete, insert, select

from resources.ledger.instants import utc_now
from resources.ledger.tables import source_schema


class SourceSchemas:
    """One snapshot a system and source; a newer one takes its place."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, system: str) -> dict[str, dict[str, str]]:
        """Source → field → type, as `keep` got them."""
        query = select(source_schema.c.source, source_schema.c.fields).where(source_schema.c.system == system)
        with self._engine.connect() as connection:
            return {row.source: dict(row.fields) for row in connection.execute(query)}

    def keep(self, system: str, sources: Mapping[str, Mapping[str, str]], at: datetime | None = None) -> None:
        """Remember how the sources of a system are now."""
        rows = [
            {"system": system, "source": source, "fields": dict(fields), "seen_at": at or utc_now()}
            for source, fields in sources.items()
        ]
        with self._engine.begin() as connection:
            connection.execute(delete(source_schema).where(source_schema.c.system == system))
            if rows:
                connection.execute(insert(source_schema), rows)
