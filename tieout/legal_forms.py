"""The legal form at the end of a company's name, which one system often has and the other has not."""

# Of the countries in which the sample companies trade; the list of GLEIF (ISO 20275) has them all.
LEGAL_FORMS = (
    "incorporated", "inc", "corporation", "corp", "company", "co", "limited", "ltd", "llc", "llp", "lp", "plc", "pty", "pte",
    "gmbh", "mbh", "ag", "kg", "ohg", "ug", "ev", "sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "oy", "oyj", "as", "aps", "kk",
)  # fmt: skip
"""Small letters, without points."""


def without_legal_form(name: str) -> str:
    """The SQL expression of a name without the legal forms at its end (`Müller & Co. KG` → `müller`); a name that is nothing else stays.

    `name`: expression of a text in small letters. A form may be written with points (`s.a.`, `b. v.`) and behind a comma or an ampersand.
    """
    forms = "|".join("\\.? ?".join(form) if len(form) <= _WITH_POINTS else form for form in LEGAL_FORMS)
    return f"coalesce(nullif(regexp_replace({name}, '([ ,&]+({forms})\\.?)+$', ''), ''), {name})"


_WITH_POINTS = 3
"""Forms of so many letters are abbreviations, whose letters may stand apart: `l. l. c.`"""
