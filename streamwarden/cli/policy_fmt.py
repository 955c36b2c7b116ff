"""`streamwarden policy fmt`: documents in one layout."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click
from rich.text import Text

from streamwarden.errors import ConfigurationError, PolicyError

from ..policy.formatting import KINDS, FormatError, document_kind, formatted
from ..policy.yaml_reader import DOCUMENT_MAX_BYTES
from .failures import FAILED, OK, VIOLATIONS
from .loading import present
from .options import output_options
from .output import Output, counted, escaped, say, write_json

__all__ = ["fmt"]

_SUFFIXES = frozenset((".yaml", ".yml"))
_STDIN = Path("-")


@click.command("fmt")
@click.argument(
    "paths", nargs=-1, required=True, metavar="DIR|FILE…|-", type=click.Path(path_type=Path)
)
@click.option("--check", is_flag=True, help="Change nothing; show what would be changed.")
@output_options
def fmt(paths: tuple[Path, ...], check: bool, output: Output) -> int:
    """Lay documents out in one way: indentation, blanks, comments, blank lines, long collections.

    Comments stay, the order of keys stays, every text stays as it is written; so the meaning and
    the digest of the bundle stay. In directories, files that begin with `policy:`, `bundle:` or
    `tests:` are laid out.

      streamwarden policy fmt policies/
      streamwarden policy fmt --check policies/
      streamwarden policy fmt - < limits.yaml

    Exit status: 0 done (with --check: nothing to do), 2 with --check, something would change, 1 a
    document cannot be read or laid out.
    """
    if _STDIN in paths:
        if len(paths) > 1:
            raise ConfigurationError("`-` stands beside other paths", remedy="give `-` alone")
        return _pipe(check)
    present(paths)
    changed: list[str] = []
    failed: list[str] = []
    number = 0
    for path in _documents(paths):
        number += 1
        before = path.read_bytes()
        try:
            after = formatted(before, str(path)).encode()
        except (PolicyError, FormatError) as error:
            failed.append(str(path))
            if isinstance(error, FormatError):
                said = f"`{path}`: {error}; it stays as it is"
            else:  # lines, with what is written there
                said = f"{error}\n`{path}` stays as it is"
            say(f"error: {said}", lines=True)
            continue
        if after == before:
            continue
        changed.append(str(path))
        if not check:
            _replace(path, after)
        if not output.json:
            _show(path, before, after, output, differences=check)
    if output.json:
        write_json({"documents": number, "changed": changed, "failed": failed, "check": check})
    else:
        verb = "would change" if check else "laid out anew"
        output.note(f"{counted(number, 'document')}: {len(changed):,} {verb}")
    if failed:
        return FAILED
    return VIOLATIONS if check and changed else OK


def _pipe(check: bool) -> int:
    before = sys.stdin.buffer.read(DOCUMENT_MAX_BYTES + 1)
    try:
        after = formatted(before, "standard input").encode()
    except FormatError as error:
        raise ConfigurationError(f"standard input: {error}") from None
    if not check:
        sys.stdout.buffer.write(after)
        sys.stdout.buffer.flush()
        return OK
    return OK if after == before else VIOLATIONS


def _documents(paths: Sequence[Path]) -> Iterator[Path]:
    """The documents in directories, and each file that was named; every file once."""
    seen: set[Path] = set()
    for path in paths:
        if path.is_file():
            found = [path]
        else:
            every = (file for file in sorted(path.rglob("*")) if file.is_file())
            found = [file for file in every if _visible(file, path) and _is_document(file)]
        for file in found:
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                yield file


def _visible(file: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in file.relative_to(root).parts)


def _is_document(file: Path) -> bool:
    if file.suffix.lower() not in _SUFFIXES:
        return False
    try:
        with file.open("rb") as opened:
            head = opened.read(DOCUMENT_MAX_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read `{file}`: {error.strerror}", remedy="check path and rights"
        ) from None
    return document_kind(head.decode("utf-8", "replace")) in KINDS


def _replace(path: Path, data: bytes) -> None:
    """The whole file or nothing, with its rights; a link stays one."""
    target = path.resolve()
    mode = target.stat().st_mode
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(data)
        os.chmod(name, mode)  # noqa: PTH101 - the name is text
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _show(path: Path, before: bytes, after: bytes, output: Output, *, differences: bool) -> None:
    if not differences:
        output.print(Text(escaped(str(path))))
        return
    old, new = (data.decode("utf-8", "replace").splitlines() for data in (before, after))
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in difflib.unified_diff(old, new, str(path), f"{path} (laid out)", lineterm=""):
        output.print(Text(escaped(line), styles.get(line[:1], "")))
