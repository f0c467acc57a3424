"""The accident that breaks accents."""

import pytest

from sandbox.seeds.damage import misread


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1, place de la République", "1, place de la R‚publique"),
        ("Rotthäuser Weg 511", "Rotth„user Weg 511"),
        ("Roßstr 2248", "Roástr 2248"),
        ("Kurfürstenstr 9", "Kurf\x81rstenstr 9"),
        ("2251 Elliot Avenue", "2251 Elliot Avenue"),
        ("自行车", "自行车"),
    ],
)
def test_dos_text_read_as_windows_text_looks_like_the_known_damage(written: str, read: str) -> None:
    assert misread(written) == read
