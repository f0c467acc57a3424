"""Record ids: 15 case-sensitive base-62 characters, and three more that make them safe where case is lost."""

_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Characters four and five name the instance that made the record.
_INSTANCE = "8d"
_COUNTER_DIGITS = 10


def id18(value: str) -> str:
    """The 18-character form of a 15- or 18-character id; ValueError for anything else."""
    if not is_id(value):
        raise ValueError(value)
    if len(value) == 18:
        return value
    return value + "".join(
        _CHECK[sum(1 << place for place, char in enumerate(value[start : start + 5]) if char.isupper())]
        for start in (0, 5, 10)
    )


def is_id(value: object) -> bool:
    """Whether this looks like an id at all (15 or 18 ASCII letters and digits)."""
    return isinstance(value, str) and len(value) in (15, 18) and value.isascii() and value.isalnum()


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record of a kind; later numbers sort later."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return id18(prefix + _INSTANCE + digits.rjust(_COUNTER_DIGITS, "0"))


def number_of(record_id: str) -> int:
    """The number that `make_id` was given."""
    number = 0
    for digit in record_id[15 - _COUNTER_DIGITS : 15]:
        number = number * 62 + _BASE62.index(digit)
    return number


def ids_of(prefix: str) -> str:
    """The GLOB pattern of all ids that `make_id` makes with this prefix."""
    return f"{prefix}{_INSTANCE}*"
