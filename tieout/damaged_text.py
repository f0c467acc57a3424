"""Text whose accents were lost on the way: bytes of a DOS code page (437, 850) that somebody read as Windows text.

`R‚publique` was `République`, `Rotth„user` was `Rotthäuser`, `Roástr` was `Roßstr`. A repair is a hypothesis: some damaged texts are also
good ones (`á` is a letter of its own), so a caller believes it only when it equals what the other system stores.
"""

import re

_CODE_PAGES = ("cp850", "cp437")

# Signs that no intact name holds: control characters, replacement characters, low quotes or footnote signs inside a word, and UTF-8
# read as Windows text. In the syntax that Python and DuckDB (RE2) share.
DAMAGE_PATTERN = (
    r"[\x{80}-\x{9F}\x{FFFD}]"
    r"|[[:alpha:]\x{C0}-\x{24F}][\x{201A}\x{201E}\x{2020}\x{2021}\x{2C6}\x{2030}\x{2039}\x{203A}\x{2022}\x{2DC}\x{192}\x{201C}\x{201D}]"
    r"[[:alpha:]\x{C0}-\x{24F}]"
    r"|\x{C3}[\x{A0}-\x{BF}]"
)

_PYTHON_DAMAGE = re.compile(
    re.sub(r"\\x\{([0-9A-F]+)\}", lambda found: chr(int(found[1], 16)), DAMAGE_PATTERN.replace("[:alpha:]", "A-Za-z"))
)


def looks_damaged(text: str) -> bool:
    """Whether `text` holds a sign that no intact name holds. Some damage (`á` for `ß`) cannot be seen from one side."""
    return _PYTHON_DAMAGE.search(text) is not None


def repaired(text: str) -> str | None:
    """What `text` was before the damage, if it can be a DOS text read as Windows text; `None` if it cannot, or has nothing to repair."""
    if text.isascii():
        return None
    try:
        stored = b"".join(_byte_of(character) for character in text)
    except ValueError:
        return None
    for code_page in _CODE_PAGES:
        candidate = stored.decode(code_page)
        if candidate != text and _reads_like_words(candidate):
            return candidate
    return None


def _byte_of(character: str) -> bytes:
    """The byte that was read as `character`; ValueError where no byte is."""
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        # Windows-1252 leaves five bytes without a character; readers pass them on as control characters (U+0081 for ü).
        return character.encode("latin-1")


def _reads_like_words(text: str) -> bool:
    """Whether every character beyond ASCII is a letter that can stand where it stands: no lone one, no capital inside a small word."""
    for word in re.findall(r"\w+|[^\x00-\x7f]", text):
        if word.isascii():
            continue
        if not word.isalpha() or len(word) == 1:
            return False
        for position, letter in enumerate(word):
            around = word[max(position - 1, 0) : position] + word[position + 1 : position + 2]
            if letter.isascii() or position == 0:
                continue
            if (letter.isupper() and not word.isupper()) or (
                letter.islower() and around.isupper() and len(around) == 2
            ):
                return False
    return True
