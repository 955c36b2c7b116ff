"""A strategy that damages valid bytes, as disks, networks, editors and attackers do."""

from __future__ import annotations

from hypothesis import strategies as st

__all__ = ["damaged", "damaged_text"]

#: What parsers stumble over: ends of ranges, beginnings of other forms, marks that pair up.
_PIECES = (
    *(b"\0", b"\xff", b"\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\t", b" ", b"\x7f"),
    *(b"{", b"}", b"[", b"]", b'"', b"'", b":", b",", b";", b"=", b".", b"@", b"-", b"\\", b"/"),
    *(b"-1", b"0", b"1e999", b"NaN", b"9223372036854775808", b"1" * 400, b"null", b"true"),
    *(b"[" * 2000, b'{"a":' * 2000, b"(" * 400, b"\\u0000", b"\\ud800", b"&a ", b"*a", b"!!x "),
    *("é".encode(), "\u2028".encode(), b"\xff\xff\xff\xff\x0f", b"\x80" * 12, b"\x01" * 9),
)


@st.composite
def damaged(draw: st.DrawFn, *seeds: bytes) -> bytes:
    """One of `seeds`, with up to six changes; often a few bits, seldom most of it."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        upto = draw(st.integers(at, min(len(data), at + 40)))
        how = draw(st.integers(0, 5))
        if how == 0:
            new = draw(st.sampled_from(_PIECES))
        elif how == 1:
            new = draw(st.binary(max_size=12))
        elif how == 2:
            new = data[at:upto] * 2
        elif how == 3:
            other = draw(st.sampled_from(seeds))
            begin = draw(st.integers(0, len(other)))
            new = other[begin : begin + 60]
        elif how == 4 and at < len(data):
            new, upto = bytes([data[at] ^ 1 << draw(st.integers(0, 7))]), at + 1
        else:
            new = b""
        data = data[:at] + new + data[upto:]
    return data


def damaged_text(*seeds: str) -> st.SearchStrategy[str]:
    """The same of text; what is no UTF-8 any more becomes lone surrogates."""
    return damaged(*(seed.encode() for seed in seeds)).map(
        lambda data: data.decode("utf-8", "surrogateescape")
    )
