"""A record of either system as a party: the few columns that say who somebody is, made comparable beyond what contracts ask for.

For comparing fields, `Müller & Co. GmbH` and `MUELLER CO` differ, and they should; for finding out who is who, they are worth a look.
"""

from tieout.legal_forms import LEGAL_FORMS

PARTY_COLUMNS = (
    "key",
    "company",
    "number",
    "name",
    "street",
    "city",
    "postal_code",
    "country",
    "phone",
    "email",
    "tax_number",
)
"""Columns of a relation that is given to `propose`: texts as stored. `key` is unique; empty texts and NULL mean that nothing is known."""

# Spelt out on one side, shortened on the other.
_SHORT_WORDS = {
    "street": "st", "avenue": "ave", "road": "rd", "boulevard": "blvd", "drive": "dr", "place": "pl", "lane": "ln", "square": "sq",
    "north": "n", "south": "s", "east": "e", "west": "w", "strasse": "str", "center": "ctr", "centre": "ctr",
}  # fmt: skip
_DIGITS_OF_PHONE = 7
"""As many as two spellings of a number share, with or without area and country."""


def party_select(relation: str) -> str:
    """SELECT that makes `relation` (with PARTY_COLUMNS) comparable.

    Besides the columns as stored (`shown_<column>`): `name`, `core` (without its legal form), `words` (its words, sorted), `street`, `house`
    (its first number), `city`, `postal_code`, `place` (either), `country`, `phone`, `email`, `tax_number`. NULL where nothing is left.
    """
    shown = ", ".join(f"{name} AS shown_{name}" for name in PARTY_COLUMNS if name not in ("key", "company", "number"))
    return f"""WITH simple AS (
    SELECT key AS unique_id, company, number, {shown}, {_simple("name")} AS name, {_shortened(_simple("street"))} AS street,
        {_simple("city")} AS city, nullif(replace({_simple("postal_code")}, ' ', ''), '') AS postal_code,
        {_simple("country")} AS country, nullif(regexp_replace(coalesce(phone, ''), '[^0-9]', '', 'g'), '') AS digits,
        nullif(lower(trim(email)), '') AS email, nullif(regexp_replace(upper(coalesce(tax_number, '')), '[^0-9A-Z]', '', 'g'), '') AS tax_number
    FROM {relation}
)
SELECT * EXCLUDE (digits), {_core("name")} AS core, nullif(list_sort(string_split({_core("name")}, ' ')), []) AS words,
    nullif(regexp_extract(street, '[0-9]+'), '') AS house, coalesce(postal_code, city) AS place,
    CASE WHEN length(digits) >= {_DIGITS_OF_PHONE} THEN right(digits, {_DIGITS_OF_PHONE}) END AS phone
FROM simple"""


def _simple(column: str) -> str:
    """Small letters without accents, letters and digits only, single blanks; NULL where nothing is left."""
    plain = f"strip_accents(lower(replace({column}, 'ß', 'ss')))"
    return f"nullif(trim(regexp_replace({plain}, '[^\\p{{L}}\\p{{N}}]+', ' ', 'g')), '')"


def _core(name: str) -> str:
    """Without the legal forms at the end; a name that is nothing else stays."""
    ending = f"'( ({'|'.join(LEGAL_FORMS)}))+$'"
    return f"coalesce(nullif(trim(regexp_replace({name}, {ending}, '')), ''), {name})"


def _shortened(value: str) -> str:
    for word, short in _SHORT_WORDS.items():
        value = f"regexp_replace({value}, '\\b{word}\\b', '{short}', 'g')"
    return value
