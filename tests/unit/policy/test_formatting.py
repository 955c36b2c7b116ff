"""The layout of documents."""

from __future__ import annotations

import pytest

from streamwarden.errors import PolicyError
from streamwarden.policy.formatting import FormatError, document_kind, formatted

WRITTEN = """

# head
policy: p   # trailing
topics: [ a,b ]


rules:
# about a
- id: a
  when: >-   # folded
     value.x > 1 &&
     value.y
  # between
  effect:   hold
-   id: 'b'   # tail
    when: |
      a
       b


    # after the text
    mask: [{field: value.card.number, with: last4}, {field: value.card.holder.name, with: redact}, 1]
    at: 2026-03-01
  # - id: c
  #   effect: warn
# end
"""

LAID_OUT = """\
# head
policy: p  # trailing
topics: [a, b]

rules:
  # about a
  - id: a
    when: >-   # folded
      value.x > 1 &&
      value.y
    # between
    effect: hold
  - id: 'b'  # tail
    when: |
      a
       b

    # after the text
    mask:
      - {field: value.card.number, with: last4}
      - {field: value.card.holder.name, with: redact}
      - 1
    at: 2026-03-01
  # - id: c
  #   effect: warn
# end
"""


def test_a_document_is_laid_out() -> None:
    """Indentation, blanks, comments, blank lines, and collections that are too wide."""
    assert formatted(WRITTEN.encode(), "x") == LAID_OUT
    assert formatted(LAID_OUT.encode(), "x") == LAID_OUT


def test_line_ends_and_the_byte_order_mark_go() -> None:
    """As the loader reads them."""
    assert formatted(b"\xef\xbb\xbfpolicy: p\r\nowner:  o", "x") == "policy: p\nowner: o\n"


def test_what_cannot_be_read_is_told_with_its_place() -> None:
    """As `policy check` tells it."""
    with pytest.raises(PolicyError, match="x:1:10"):
        formatted(b"policy: [", "x")


@pytest.mark.parametrize(
    "text", ["topics: [a,  # first\n  b]\n", "topics: {a: 1, # first\n  # own\n  b: 2}\n"]
)
def test_a_comment_is_never_lost(text: str) -> None:
    """Where there is no place for it, the document is refused."""
    with pytest.raises(FormatError, match="a comment would be lost"):
        formatted(f"policy: p\n{text}".encode(), "x")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("policy: p", "policy"),
        ("\ufeff# a\r\n\r\n---\r\nbundle: b", "bundle"),
        ("tests : t", "tests"),
        ("policies: p", None),
        ("a: 1\npolicy: p", None),
    ],
)
def test_documents_are_known_by_their_first_key(text: str, kind: str | None) -> None:
    """Other files are left alone."""
    assert document_kind(text) == kind
