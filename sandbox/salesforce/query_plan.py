"""What a compiled query is made of: the SQL of its parts, and how rows become records."""

from dataclasses import dataclass, field

from sandbox.salesforce.record_shape import RecordShape
from sandbox.salesforce.schema import ChildRelationship, Field, SObject


@dataclass(slots=True)
class ChildPlan:
    """A subquery: its own plan, the relationship it follows, and where its records go."""

    relationship: ChildRelationship
    plan: "Plan"


@dataclass(slots=True)
class Plan:
    """A query ready to run. `columns` begin with the record's Id; `kind` is records, count or aggregate."""

    sobject: SObject
    kind: str
    columns: list[str]
    shape: RecordShape | None
    leaves: list[tuple[str, int, Field]]
    joins: str
    where: str
    parameters: list[object]
    group: str = ""
    having: str = ""
    having_parameters: list[object] = field(default_factory=list)
    order: str = ""
    limit: int | None = None
    offset: int = 0
    names: list[str] = field(default_factory=list)
    children: list[ChildPlan] = field(default_factory=list)

    def source(self) -> str:
        return f'FROM "{self.sobject.name}" t0{self.joins}'
