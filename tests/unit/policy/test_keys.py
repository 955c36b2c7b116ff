"""Keys rotate, are checked when they are read, and never show."""

from __future__ import annotations

import base64
from hashlib import blake2b
from pathlib import Path

import pytest

from streamwarden.errors import ConfigurationError
from streamwarden.policy.keys import KeyRing, mac_text

_KEY = b"0123456789abcdef"


def test_the_first_key_signs_and_every_key_is_known(tmp_path: Path) -> None:
    """A file `{KID: base64 key}` is read in order."""
    file = tmp_path / "keys.yaml"
    encoded = base64.b64encode(_KEY).decode()
    file.write_text(f"# rotated in May\nnew: {encoded}\n'old': \"{encoded}\"  # until June\n")

    ring = KeyRing.load(file)

    assert ring.first == ("new", _KEY)
    assert ring.get("old") == _KEY
    assert ring.get("other") is None


def test_a_key_never_shows_in_a_repr() -> None:
    """Printing a ring gives ids only."""
    assert repr(KeyRing({"k1": _KEY})) == "KeyRing(k1)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one key"),
        ("k1: not base64!", "is not base64"),
        ("k1: c2hvcnQ=", "has 5 bytes"),
        ("just words", "not a new"),
        ("bad id!: MDEyMzQ1Njc4OWFiY2RlZg==", "is no key id"),
    ],
)
def test_a_bad_key_file_is_refused_without_showing_a_key(
    tmp_path: Path, text: str, said: str
) -> None:
    """The message says what is wrong and never holds the secret text."""
    file = tmp_path / "keys.yaml"
    file.write_text(text)

    with pytest.raises(ConfigurationError, match=said) as caught:
        KeyRing.load(file)

    assert "MDEyMzQ1" not in str(caught.value)


def test_the_mac_is_keyed_blake2b_over_length_prefixed_parts() -> None:
    """The documented form, computed here by hand."""
    framed = b"\0\0\0\x02ab" + b"\xff\xff\xff\xff" + b"\0\0\0\0"
    expected = base64.urlsafe_b64encode(blake2b(framed, digest_size=16, key=_KEY).digest()).decode()

    assert mac_text(_KEY, b"ab", None, b"") == expected.rstrip("=")
