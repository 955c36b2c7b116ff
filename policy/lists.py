"""The files that `lists:` names: YAML or JSON lists and tables, and CSV.

A YAML or JSON list is a list, a mapping a table. CSV is UTF-8 with commas; all cells are text. With
one column every line is an element, and there is no header. With several, the first line names the
columns, and the file is a table keyed by the first column: `lists.rates["EUR"].rate`.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

from streamwarden.errors import Location

from .bundle_documents import ListReference
from .nodes import data_of, nodes_of
from .problems import Problems, quoted
from .yaml_reader import Document, decode, read_yaml

__all__ = ["LIST_MAX_BYTES", "list_path", "read_list"]

#: Some 500,000 codes. A list is kept in memory by every guard, and is part of the stored bundle.
LIST_MAX_BYTES: Final = 8 * 1024 * 1024
#: As in YAML: int() of a huge text takes quadratic time.
_DIGITS_MAX: Final = 400


def list_path(reference: ListReference, root: Path) -> Path | None:
    """The file that a list names, inside `root`; None with a problem added."""
    relative = PurePosixPath(reference.path)
    problem = reference.reader.problem
    outside = relative.is_absolute() or ".." in relative.parts or "\\" in reference.path
    path = root / relative
    try:
        real = path.resolve()
        outside = outside or not real.is_relative_to(root.resolve())
        missing = not outside and not real.is_file()
    except (OSError, ValueError, RuntimeError):
        missing = True
    if outside:
        problem(
            reference.node,
            "SW161",
            f"{quoted(reference.path)} leads out of the directory",
            remedy="put the file beside the policies, and name it relative to their directory",
        )
        return None
    if missing:
        problem(
            reference.node,
            "SW160",
            f"there is no file {quoted(reference.path)}",
            remedy="files are named relative to the directory of policies",
        )
        return None
    return path


def read_list(
    reference: ListReference,
    data: bytes,
    file: str,
    problems: Problems,
    read: Document | None = None,
) -> object:
    """The list or table in `data`; None with the problems added.

    YAML takes as much as documents may have, since it is read as slowly; `read` is the document
    where that was done already.
    """
    suffix = PurePosixPath(reference.path).suffix.lower()
    before = len(problems.items)
    value: object
    if suffix in (".yaml", ".yml"):
        document = read or read_yaml(data, file, problems)
        value = None if document is None else data_of(document.root)
    elif suffix == ".json":
        value = _json(data, file, problems)
    elif suffix == ".csv":
        value = _csv(data, file, problems)
    else:
        reference.reader.problem(
            reference.node,
            "SW160",
            f"a list cannot be read from {quoted(reference.path)}",
            remedy="use .csv, .yaml or .json",
        )
        return None
    beyond = _beyond(value)
    if beyond is not None:
        problems.add(
            "SW160",
            f"{quoted(beyond)} is beyond 64 bits",
            Location(file, 1, 1),
            remedy="quote it, as a text, or write it with `.0`, as a double",
        )
        return None
    if isinstance(value, (list, dict)):
        return cast("object", value)
    if len(problems.items) > before:
        return None
    problems.add(
        "SW160",
        f"the file of list `{reference.name}` holds neither a list nor a table",
        Location(file, 1, 1),
        remedy="write `- element` lines, or `key: value` lines",
    )
    return None


def _beyond(value: object) -> int | None:
    """A whole number in `value` that conditions cannot hold."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return value
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).values()
        return next((b for b in map(_beyond, members) if b is not None), None)
    if isinstance(value, list):
        items = cast("list[object]", value)
        return next((b for b in map(_beyond, items) if b is not None), None)
    return None


# ------------------------------------------------------------------------ JSON


class _RefusedError(ValueError):
    """What JSON would allow and documents do not."""


def _json(data: bytes, file: str, problems: Problems) -> object:
    text = decode(data, file, problems, max_bytes=LIST_MAX_BYTES)
    if text is None:
        return None
    start = Location(file, 1, 1)
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        nodes_of(value)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        problems.add(
            "SW160", f"not JSON: {error.msg.lower()}", Location(file, error.lineno, error.colno)
        )
    except _RefusedError as error:
        problems.add("SW160", str(error), start)
    except RecursionError:
        problems.add("SW112", "nested too deeply", start)
    except UnicodeEncodeError:
        problems.add("SW113", "half of a surrogate pair", start)
    except ValueError as error:
        problems.add("SW112", str(error), start)
    else:
        return value
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedError(f"the key {quoted(double)} is given twice")
    return members


def _no_constant(name: str) -> float:
    raise _RefusedError(f"`{name}` is not a finite number")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise _RefusedError(f"{quoted(text)} is not a finite number")
    return number


def _whole(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise _RefusedError("a number with too many digits")
    return int(text)


# ------------------------------------------------------------------------- CSV


def _csv(data: bytes, file: str, problems: Problems) -> object:
    text = decode(data, file, problems, max_bytes=LIST_MAX_BYTES)
    if text is None:
        return None
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        problems.add("SW160", f"not CSV: {error}".lower(), Location(file, line, 1))
        return None
    if not rows:
        problems.add("SW160", "the file is empty", Location(file, 1, 1), remedy="add a line")
        return None
    return _csv_list(rows, file, problems) if len(rows[0][1]) == 1 else _table(rows, file, problems)


def _csv_list(rows: list[tuple[int, list[str]]], file: str, problems: Problems) -> object:
    first = rows[0][1][0]
    if ";" in first or "\t" in first:
        problems.add(
            "SW160",
            "the columns are not separated by commas",
            Location(file, rows[0][0], 1),
            text=first,
            remedy="separate columns with commas, or write a YAML list",
        )
        return None
    elements: list[str] = []
    for line, row in rows:
        if len(row) == 1 and _exact(row[0], line, file, problems):
            elements.append(row[0])
        elif len(row) != 1:
            _uneven(1, row, line, file, problems)
    return elements


def _table(rows: list[tuple[int, list[str]]], file: str, problems: Problems) -> object:
    header_line, header = rows[0]
    names = [name for name in header if _exact(name, header_line, file, problems)]
    if len(set(names)) != len(names):
        problems.add("SW160", "two columns have the same name", Location(file, header_line, 1))
    table: dict[str, dict[str, str]] = {}
    for line, row in rows[1:]:
        if len(row) != len(header):
            _uneven(len(header), row, line, file, problems)
        elif row[0] in table:
            problems.add(
                "SW107", f"the key {quoted(row[0])} was given before", Location(file, line, 1)
            )
        elif _exact(row[0], line, file, problems):
            table[row[0]] = dict(zip(header[1:], row[1:], strict=True))
    return table


def _exact(cell: str, line: int, file: str, problems: Problems) -> bool:
    """False with a problem for a cell that would silently match nothing."""
    if cell and cell == cell.strip():
        return True
    problems.add(
        "SW160",
        "a cell that is empty" if not cell else f"{quoted(cell)} begins or ends with a space",
        Location(file, line, 1),
        remedy="elements, keys and names of columns are compared exactly",
    )
    return False


def _uneven(columns: int, row: list[str], line: int, file: str, problems: Problems) -> None:
    problems.add(
        "SW160",
        f"{len(row)} column{'' if len(row) == 1 else 's'} here, and {columns} before",
        Location(file, line, 1),
        text=",".join(row),
        remedy="put a cell with a comma in double quotes",
    )
