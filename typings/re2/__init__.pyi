"""The part of google-re2 that the project uses; the package ships without types.

Regular expressions are linear in the text. `Options.never_nl` and the other names left out here
keep their defaults.
"""

from collections.abc import Callable, Iterator
from typing import AnyStr, Generic, final

error: type[Exception]

class Options:
    max_mem: int
    posix_syntax: bool
    longest_match: bool
    log_errors: bool
    literal: bool
    never_nl: bool
    dot_nl: bool
    never_capture: bool
    case_sensitive: bool
    perl_classes: bool
    word_boundary: bool
    one_line: bool
    def __init__(self) -> None: ...

@final
class _Match(Generic[AnyStr]):
    def group(self, group: int | str = 0, /) -> AnyStr: ...
    def groups(self, default: AnyStr | None = None) -> tuple[AnyStr | None, ...]: ...
    def groupdict(self, default: AnyStr | None = None) -> dict[str, AnyStr | None]: ...
    def start(self, group: int | str = 0) -> int: ...
    def end(self, group: int | str = 0) -> int: ...
    def span(self, group: int | str = 0) -> tuple[int, int]: ...

@final
class _Regexp(Generic[AnyStr]):
    @property
    def pattern(self) -> AnyStr: ...
    @property
    def options(self) -> Options: ...
    @property
    def groups(self) -> int: ...
    @property
    def groupindex(self) -> dict[str, int]: ...
    @property
    def programsize(self) -> int: ...
    def search(
        self, text: AnyStr, pos: int | None = None, endpos: int | None = None
    ) -> _Match[AnyStr] | None: ...
    def match(
        self, text: AnyStr, pos: int | None = None, endpos: int | None = None
    ) -> _Match[AnyStr] | None: ...
    def fullmatch(
        self, text: AnyStr, pos: int | None = None, endpos: int | None = None
    ) -> _Match[AnyStr] | None: ...
    def finditer(
        self, text: AnyStr, pos: int | None = None, endpos: int | None = None
    ) -> Iterator[_Match[AnyStr]]: ...
    def sub(
        self, repl: AnyStr | Callable[[_Match[AnyStr]], AnyStr], text: AnyStr, count: int = 0
    ) -> AnyStr: ...

def compile(
    pattern: AnyStr | _Regexp[AnyStr], options: Options | None = None
) -> _Regexp[AnyStr]: ...
def search(
    pattern: AnyStr | _Regexp[AnyStr], text: AnyStr, options: Options | None = None
) -> _Match[AnyStr] | None: ...
def match(
    pattern: AnyStr | _Regexp[AnyStr], text: AnyStr, options: Options | None = None
) -> _Match[AnyStr] | None: ...
def fullmatch(
    pattern: AnyStr | _Regexp[AnyStr], text: AnyStr, options: Options | None = None
) -> _Match[AnyStr] | None: ...
def escape(pattern: AnyStr) -> AnyStr: ...
