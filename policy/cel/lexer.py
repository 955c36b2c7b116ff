"""Text to tokens: literals are decoded here, so that the parser sees values.

Source: the CEL specification, "Syntax" (github.com/google/cel-spec, doc/langdef.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from streamwarden.errors import StreamwardenError

from .values import INT_MAX, UINT_MAX, UInt

__all__ = ["CODE_POINTS_MAX", "CelSyntaxError", "Token", "number_too_large", "tokenize"]

#: As in cel-go: a rule is written by people, and every stage after this one is linear in it.
CODE_POINTS_MAX: Final = 100_000


class CelSyntaxError(StreamwardenError):
    """Text that is not CEL; `offset` and `length` say which characters of it are meant."""

    code = "SW120"

    def __init__(
        self, message: str, offset: int, length: int = 1, *, remedy: str = "", code: str = "SW120"
    ) -> None:
        super().__init__(message, remedy=remedy, code=code)
        self.offset = offset
        self.length = length


@dataclass(slots=True)
class Token:
    """One token. `kind`: name, quoted, operator, literal or end.

    `text` is what is written (of a quoted name, what is between the backticks); `value` is a
    literal's value. A number is without its sign; 2**63 is let through for the parser to negate.
    """

    kind: str
    text: str
    start: int
    end: int
    value: object = None


_TOKEN: Final = re.compile(
    r"""
    [\ \t\r\n\f]* (?:
    (?P<string> (?: [rR] | [bB][rR]? )? (?: \"{3} | '{3} | \" | ' ) )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<double> (?: [0-9]+\.[0-9]+ | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? | [0-9]+[eE][+-]?[0-9]+ )
  | (?P<integer> (?: 0x[0-9a-fA-F]+ | [0-9]+ ) [uU]? )
  | (?P<quoted> `[A-Za-z0-9_.\-/\ ]+` )
  | (?P<comment> //[^\n]* )
  | (?P<operator> && | \|\| | == | != | <= | >= | [-+*/%<>!?:.,()\[\]{}] ) )
    """,
    re.VERBOSE,
)
_SPACE: Final = " \t\r\n\f"
_CONSTANTS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_REMEDIES: Final = {
    "=": "write `==` to compare",
    "&": "write `&&` for and",
    "|": "write `||` for or",
    "`": "between backticks stand letters, digits, `_`, `-`, `.`, `/` and spaces",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'write straight quotes: `"`',
    "\N{RIGHT DOUBLE QUOTATION MARK}": 'write straight quotes: `"`',
    "\N{LEFT SINGLE QUOTATION MARK}": "write straight quotes: `'`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "write straight quotes: `'`",
    "$": "variables are written without `$`",
    ";": "a condition is one expression",
}

_PAIRS: Final = {
    "=~": 'write `text.matches("pattern")` to match a pattern',
    "=>": "write `>=` to compare, or `list.exists(x, x > 1)` to ask about elements",
    "=<": "write `<=` to compare",
}


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, the last one of kind `end`; raises `CelSyntaxError`."""
    if len(text) > CODE_POINTS_MAX:
        raise CelSyntaxError(
            f"the expression is longer than {CODE_POINTS_MAX:,} characters",
            CODE_POINTS_MAX,
            remedy="split it into several rules, or put long lists under `lists:`",
        )
    _utf8(text, 0)
    tokens: list[Token] = []
    position, end = 0, len(text.rstrip(_SPACE))
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _unexpected(text, position)
        kind = match.lastgroup or ""
        start, position = match.span(kind)
        written = match[kind]
        if kind == "name":
            if written in _CONSTANTS:
                tokens.append(Token("literal", written, start, position, _CONSTANTS[written]))
            else:
                tokens.append(Token("name", written, start, position))
        elif kind == "operator":
            tokens.append(Token("operator", written, start, position))
        elif kind == "quoted":
            tokens.append(Token("quoted", written[1:-1], start, position))
        elif kind == "comment":
            continue
        elif kind == "string":
            value, position = _string(text, start, written, position)
            tokens.append(Token("literal", text[start:position], start, position, value))
        else:
            _no_name_follows(text, start, position)
            number = float(written) if kind == "double" else _integer(written, start)
            tokens.append(Token("literal", written, start, position, number))
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def _unexpected(text: str, position: int) -> CelSyntaxError:
    position += len(text[position:]) - len(text[position:].lstrip(_SPACE))
    character = text[position]
    shown = f"`{character}`" if character.isprintable() else f"U+{ord(character):04X}"
    remedy = _PAIRS.get(text[position : position + 2]) or _REMEDIES.get(character, "")
    if text[position - 1 : position + 1] == "!~" and position:
        remedy = 'write `!text.matches("pattern")`'
    return CelSyntaxError(f"unexpected character {shown}", position, remedy=remedy)


def _no_name_follows(text: str, start: int, end: int) -> None:
    """Refuse `1x`, which would otherwise be a number and a name side by side."""
    follower = _NAME.match(text, end)
    if follower is None or follower.group() == "in":
        return
    written = text[start : follower.end()]
    if _GROUPED.fullmatch(written):
        remedy = f"write `{written.replace('_', '')}`, without `_`"
    elif _DURATION.fullmatch(written):
        remedy = f'a time span is written `duration("{written}")`'
    elif written.startswith("."):
        remedy = f'a name does not start with a digit; select such a field as `m["{written[1:]}"]`'
    else:
        remedy = "a name does not start with a digit"
    raise CelSyntaxError(f"`{written}` is no number", start, follower.end() - start, remedy=remedy)


#: `10_000` as other languages write it, and `24h`.
_GROUPED: Final = re.compile(r"[0-9]+(?:_[0-9]+)+")
_DURATION: Final = re.compile(r"[0-9]+(?:ms|[hms])")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _integer(written: str, start: int) -> int | UInt:
    unsigned = written[-1] in "uU"
    digits = written[:-1] if unsigned else written
    # Any longer number is too large, and Python refuses to read some thousand digits.
    number = (
        int(digits, 0 if digits.startswith("0x") else 10) if len(digits) < 1000 else UINT_MAX + 1
    )
    if number > (UINT_MAX if unsigned else INT_MAX + 1):
        raise number_too_large(written, start)
    return UInt(number) if unsigned else number


def number_too_large(written: str, start: int) -> CelSyntaxError:
    """The error of a number outside 64 bits."""
    return CelSyntaxError(
        "the number does not fit 64 bits",
        start,
        len(written),
        remedy="write it as a double, with a decimal point",
    )


_BODY: Final = {
    '"': re.compile(r'(?:[^\\\n\r"]|\\[^\n\r])*"'),
    "'": re.compile(r"(?:[^\\\n\r']|\\[^\n\r])*'"),
    '"""': re.compile(r'(?:[^\\"]|\\.|"(?!""))*"""', re.DOTALL),
    "'''": re.compile(r"(?:[^\\']|\\.|'(?!''))*'''", re.DOTALL),
}
_RAW_BODY: Final = {
    '"': re.compile(r'[^\n\r"]*"'),
    "'": re.compile(r"[^\n\r']*'"),
    '"""': re.compile(r'.*?"""', re.DOTALL),
    "'''": re.compile(r".*?'''", re.DOTALL),
}


def _string(text: str, start: int, opening: str, position: int) -> tuple[str | bytes, int]:
    """The value of a string or bytes literal whose body starts at `position`, and its end."""
    quote = opening.lstrip("rRbB")
    prefix = opening[: -len(quote)].lower()
    body = (_RAW_BODY if "r" in prefix else _BODY)[quote].match(text, position)
    if body is None:
        raise CelSyntaxError(
            "the string has no end",
            start,
            len(opening),
            remedy=f"close it with `{quote}`; a line break needs `\\n` or triple quotes",
        )
    content = text[position : body.end() - len(quote)]
    if "b" in prefix:
        return _unescape_bytes(content, position, "r" in prefix), body.end()
    if "r" not in prefix and "\\" in content:
        content = _unescape(content, position)
    return content, body.end()


_SIMPLE: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPE: Final = re.compile(
    r"""\\(?: (?P<simple>[abfnrtv\\'"`?]) | [xX](?P<hex>[0-9a-fA-F]{2}) | (?P<octal>[0-3][0-7]{2})
    | u(?P<u4>[0-9a-fA-F]{4}) | U(?P<u8>[0-9a-fA-F]{8}) | (?P<bad>.) )""",
    re.VERBOSE | re.DOTALL,
)


def _bad_escape(match: re.Match[str], offset: int, remedy: str) -> CelSyntaxError:
    return CelSyntaxError(
        f"`{match.group()}` is no escape sequence", offset + match.start(), 2, remedy=remedy
    )


def _unescape(content: str, offset: int) -> str:
    def character(match: re.Match[str]) -> str:
        simple, hexadecimal, octal, four, eight, bad = match.groups()
        if simple:
            return _SIMPLE[simple]
        if bad:
            raise _bad_escape(
                match, offset, 'write `\\\\` for a backslash, or a raw string: `r"\\d+"`'
            )
        point = int(octal, 8) if octal else int(hexadecimal or four or eight, 16)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            raise CelSyntaxError(
                f"`{match.group()}` is no Unicode character",
                offset + match.start(),
                len(match.group()),
            )
        return chr(point)

    return _ESCAPE.sub(character, content)


def _unescape_bytes(content: str, offset: int, raw: bool) -> bytes:
    """Characters as UTF-8, hexadecimal and octal escapes as single bytes."""
    if raw or "\\" not in content:
        return _utf8(content, offset)
    pieces: list[bytes] = []
    position = 0
    for match in _ESCAPE.finditer(content):
        pieces.append(_utf8(content[position : match.start()], offset))
        simple, hexadecimal, octal, _four, _eight, _bad = match.groups()
        if simple:
            pieces.append(_SIMPLE[simple].encode())
        elif hexadecimal or octal:
            pieces.append(bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)]))
        else:
            raise _bad_escape(match, offset, "in bytes, write `\\xHH`")
        position = match.end()
    pieces.append(_utf8(content[position:], offset))
    return b"".join(pieces)


def _utf8(content: str, offset: int) -> bytes:
    try:
        return content.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CelSyntaxError("a lone surrogate is no character", offset + error.start) from None
