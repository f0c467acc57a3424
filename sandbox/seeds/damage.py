"""The accident that breaks accents: text written in the DOS code page, read as if it were Windows text."""


def misread(text: str) -> str:
    """What `é`, `ö`, `ß`, `ü` become on that way (`‚`, `”`, `á`, U+0081); ASCII text stays as it is.

    Characters that the DOS code page lacks are left alone. Bytes without a Windows character become the control
    character of the same number, as Windows itself maps them.
    """
    return "".join(_misread(character) for character in text)


def _misread(character: str) -> str:
    try:
        byte = character.encode("cp850")
    except UnicodeEncodeError:
        return character
    try:
        return byte.decode("cp1252")
    except UnicodeDecodeError:
        return byte.decode("latin-1")
