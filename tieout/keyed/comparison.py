"""What is compared: the fields of a keyed comparison, and which of them add up over the parts of a split."""

from dataclasses import dataclass

from tieout.compared_field import ComparedField
from tieout.sql import quoted


@dataclass(frozen=True, slots=True)
class KeyedComparison:
    """The fields that both canonical files hold as `cmp_<field>`.

    `additive` names the numbers (money, quantities) whose parts are summed before they are compared with the whole. `currency` names the
    text field by which totals are kept apart. Raises ValueError where a name is unknown, repeated, or not of the kind that it has to be.
    """

    fields: tuple[ComparedField, ...]
    additive: frozenset[str] = frozenset()
    currency: str | None = None

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"A keyed comparison needs fields, each once: {', '.join(names) or 'none given'}.")
        unknown = (self.additive | ({self.currency} if self.currency else set())) - set(names)
        if unknown:
            raise ValueError(
                f"No compared field is called {', '.join(sorted(unknown))}. There are: {', '.join(names)}."
            )
        texts = [field.name for field in self.fields if field.name in self.additive and not field.is_number]
        if texts:
            raise ValueError(f"Only numbers add up; {', '.join(texts)} cannot be additive.")
        for_primary = [field.name for field in self.fields if field.primary_only]
        if for_primary:
            raise ValueError(
                f"{', '.join(for_primary)} is compared with primary customers only; no file says which these are."
            )

    @property
    def hashed(self) -> tuple[ComparedField, ...]:
        """The fields where only equal is equal: `_compare_hash` covers them."""
        return tuple(field for field in self.fields if self._is_hashed(field))

    @property
    def carried(self) -> tuple[ComparedField, ...]:
        """The fields that have to be looked at themselves: numbers, and whatever may be left empty."""
        return tuple(field for field in self.fields if not self._is_hashed(field))

    @property
    def money(self) -> tuple[ComparedField, ...]:
        """The fields of which totals are kept."""
        return tuple(field for field in self.fields if field.is_money and field.name in self.additive)

    def _is_hashed(self, field: ComparedField) -> bool:
        return field.is_hashed and field.tolerance is None and field.name not in self.additive


def difference_column(field: ComparedField) -> str:
    """The name of the column that says whether a pair differs in the field."""
    return quoted(f"differs_{field.name}")
