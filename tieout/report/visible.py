"""Foreign texts for a reader's eye: what cannot be seen in them is named, and what differs between two of them is marked.

A trailing blank, a no-break space or a control character is often the whole difference, and direction overrides can make a text read as
another one. Emoji and right-to-left letters stay as they are.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal

SegmentKind = Literal["text", "different", "blank", "code"]

# Joiners belong to emoji and to Persian or Indic words; they are left alone.
_JOINERS = {"\u200c", "\u200d"}
_BLANKS = {
    " ": "blank",
    "\u00a0": "no-break space",
    "\u202f": "narrow no-break space",
    "\t": "tab",
    "\n": "line break",
    "\r": "return",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a text. `blank` and `code` have a `name` to show or to speak; `different` is not in the text beside it."""

    kind: SegmentKind
    text: str
    name: str = ""


def segments_of(text: str, other: str | None = None) -> list[Segment]:
    """Cut `text` into pieces that can be shown. With `other`, the middle that the two do not share is `different`."""
    start, end = _different_middle(text, other) if other is not None else (len(text), len(text))
    inner_start, inner_end = len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))
    segments: list[Segment] = []
    for position, character in enumerate(text):
        at_edge = position < inner_start or position >= inner_end
        doubled = character == " " and text[position - 1 : position] == " "
        segment = _segment(character, at_edge or doubled, start <= position < end)
        if segments and segment.kind in ("text", "different") and segments[-1].kind == segment.kind:
            segments[-1] = Segment(segment.kind, segments[-1].text + character)
        else:
            segments.append(segment)
    return segments


def code_point(character: str) -> str:
    """`U+0081`."""
    return f"U+{ord(character):04X}"


def is_unseen(character: str) -> bool:
    """Whether a character has no picture of its own: controls, direction marks, lone surrogates, non-characters."""
    if character in _JOINERS:
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Cs") or ord(character) & 0xFFFE == 0xFFFE


def with_codes(text: str) -> str:
    """`text` with each unseen character as `⟨U+0081⟩`; tabs and line ends stay, blanks stay. For places that take plain text only."""
    if text.isprintable():
        return text
    return "".join(f"⟨{code_point(each)}⟩" if is_unseen(each) and each not in _BLANKS else each for each in text)


def _segment(character: str, blank_counts: bool, is_different: bool) -> Segment:
    if character in _BLANKS and (character != " " or blank_counts):
        return Segment("blank", character, _BLANKS[character])
    if is_unseen(character):
        return Segment("code", "", code_point(character))
    return Segment("different" if is_different else "text", character)


def _different_middle(text: str, other: str) -> tuple[int, int]:
    """Start and end in `text` of what is between the shared beginning and the shared end. The whole text where a cut could split a glyph."""
    if any(_is_bound_to_neighbour(each) for each in text + other):
        return (0, 0) if text == other else (0, len(text))
    shared = min(len(text), len(other))
    start = next((at for at in range(shared) if text[at] != other[at]), shared)
    tail = next((at for at in range(shared - start) if text[-1 - at] != other[-1 - at]), shared - start)
    return start, len(text) - tail


def _is_bound_to_neighbour(character: str) -> bool:
    """Combining marks, joiners, variation selectors, skin tones, flag letters and right-to-left letters change shape when cut apart."""
    return (
        character in _JOINERS
        or unicodedata.category(character).startswith("M")
        or unicodedata.bidirectional(character) in ("R", "AL", "AN")
        or "\U0001f1e6" <= character <= "\U0001f1ff"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )
