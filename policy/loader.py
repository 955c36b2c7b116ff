"""Directories of policies to a bundle. With the store, the only place here that reads files.

**What is read.** Files ending in `.yaml` or `.yml` (in any case) at any depth are documents; what
`lists:` names are tables. Hidden files and directories, and what `ignore:` matches, are left out.
Links are followed, each real directory and file being read once, so that loops end. A `.csv`,
`.tsv` or `.json` file that no list names is an error, since it would count for nothing without
anybody noticing; other files (a README) are left alone. A path to a single document is read as a
directory that holds only that.

**Several directories** compose into one bundle: each may have a bundle document, and they must not
contradict each other. Without a name in any of them, the bundle is named like the first directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streamwarden.errors import Location, Problem

from .bundle import Bundle
from .bundle_documents import (
    ListReference,
    WrittenBundle,
    compose,
    folder_name,
    read_bundle_document,
)
from .canonical import canonical_json, portable
from .case_documents import WrittenCases, read_cases
from .checking import MaskProblem, check_policies
from .condition_checks import ValueTypes
from .documents import WrittenPolicy, read_policy
from .ignoring import is_ignored
from .lists import LIST_MAX_BYTES, list_path, read_list
from .nodes import MapNode
from .problems import Problems, closest, quoted
from .written import Adviser, Written
from .yaml_reader import DOCUMENT_MAX_BYTES, Document, read_yaml

__all__ = ["FILES_MAX", "check_directories", "load_directories", "read_directories"]

#: More is a directory that was named by mistake, such as a home directory.
FILES_MAX: Final = 10_000
#: The error of documents that hold otherwise, of which advice and costs can be told.
_TOO_COSTLY: Final = "SW130"
_KINDS: Final = ("policy", "bundle", "tests")
_DOCUMENTS: Final = frozenset((".yaml", ".yml"))
_DATA: Final = frozenset((".csv", ".tsv", ".json", ".jsonl", ".ndjson"))


def load_directories(
    paths: Sequence[str | Path] | str | Path,
    *,
    value_types: ValueTypes | None = None,
    mask_problem: MaskProblem | None = None,
) -> Bundle:
    """The bundle that the directories make together; raises PolicyError with all problems.

    With `value_types` the conditions of a policy that names a `schema` are checked against it, with
    `mask_problem` the masks against that and the schemas of its topics.
    """
    problems = Problems()
    bundle = _load(paths, problems, value_types, mask_problem)
    problems.raise_errors()
    assert bundle is not None
    return bundle


def check_directories(
    paths: Sequence[str | Path] | str | Path,
    *,
    value_types: ValueTypes | None = None,
    mask_problem: MaskProblem | None = None,
) -> list[Problem]:
    """All problems of the directories, warnings included, by file and line; never raises them."""
    return read_directories(paths, value_types=value_types, mask_problem=mask_problem)[1]


def read_directories(
    paths: Sequence[str | Path] | str | Path,
    *,
    value_types: ValueTypes | None = None,
    mask_problem: MaskProblem | None = None,
    advisers: Sequence[Adviser] = (),
) -> tuple[Bundle | None, list[Problem]]:
    """The bundle, where no error keeps it from being made, and all problems.

    The `advisers` look at documents that hold, before they become a bundle.
    """
    problems = Problems()
    bundle = _load(paths, problems, value_types, mask_problem, advisers)
    return bundle, problems.sorted()


@dataclass(slots=True)
class _Directory:
    """One directory while it is read. `files` are (path, path relative to it)."""

    root: Path
    shown: str
    files: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])
    documents: list[tuple[str, Document]] = field(default_factory=list[tuple[str, Document]])
    bundle: WrittenBundle | None = None
    lists: list[ListReference] = field(default_factory=list[ListReference])
    tables: dict[str, Document] = field(default_factory=dict[str, Document])


def _load(
    paths: Sequence[str | Path] | str | Path,
    problems: Problems,
    value_types: ValueTypes | None,
    mask_problem: MaskProblem | None,
    advisers: Sequence[Adviser] = (),
) -> Bundle | None:
    roots = [Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths]
    seen: set[tuple[int, int]] = set()
    directories = [
        directory for root in roots if (directory := _discover(root, seen, problems)) is not None
    ]
    for directory in directories:
        for path, _ in directory.files:
            problems.expect(str(path))
        _read_documents(directory, problems)
    policies: list[WrittenPolicy] = []
    cases: list[WrittenCases] = []
    for directory in directories:
        for kind, document in directory.documents:
            if kind == "policy":
                policies.append(read_policy(document, problems))
            elif kind == "tests":
                written = read_cases(document, problems)
                cases.extend(() if written is None else (written,))
    lists = _read_lists(directories, problems)
    fallback = folder_name(_name_of(roots[0])) if roots else "policies"
    bundles = [directory.bundle for directory in directories if directory.bundle is not None]
    settings, written_settings = compose(bundles, fallback)
    unread = {reference.name: None for directory in directories for reference in directory.lists}
    every = {**unread, **lists}
    unique = check_policies(policies, settings, every, cases, value_types, mask_problem)
    if not policies and not problems.errors:
        shown = str(roots[0]) if roots else "."
        problems.add(
            "SW117",
            "there is no policy here",
            Location(shown, 1, 1),
            remedy="add a document that begins with `policy:`",
        )
    if all(problem.code == _TOO_COSTLY for problem in problems.errors):
        for advise in advisers:
            root = str(roots[0])
            advise(Written(unique, settings, bundles, lists, value_types, problems, root))
    if problems.errors:
        return None
    return Bundle.make(
        settings,
        [(policy.policy, policy.written) for policy in unique],
        written=written_settings,
        lists=lists,
        tests=[case for written in cases for case in written.cases],
    )


def _name_of(root: Path) -> str:
    """The folder's own name, also for `.` and links; of a single document, its name."""
    absolute = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would lose a link's name
    return absolute.stem if absolute.suffix.lower() in _DOCUMENTS else absolute.name


# ------------------------------------------------------------------- discovery


def _discover(root: Path, seen: set[tuple[int, int]], problems: Problems) -> _Directory | None:
    """The files below `root`, in the order of their relative paths."""
    start = Location(str(root), 1, 1)
    try:
        if root.is_file():
            directory = _Directory(root.parent, str(root.parent), [(root, root.name)])
            return directory if _first_time(root, seen) else None
        if not root.is_dir():
            problems.add(
                "SW101", "there is no such directory", start, remedy="name a directory of policies"
            )
            return None
        directory = _Directory(root, str(root))
        _walk(directory, seen, problems)
    except (OSError, ValueError) as error:
        problems.add("SW101", f"the directory cannot be read: {_reason(error)}", start)
        return None
    return directory


def _walk(directory: _Directory, seen: set[tuple[int, int]], problems: Problems) -> None:
    stack: list[tuple[Path, str]] = [(directory.root, "")]
    found: list[tuple[Path, str]] = []
    while stack:
        folder, prefix = stack.pop()
        try:
            if not _first_time(folder, seen):
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.add(
                "SW101",
                f"the directory cannot be read: {_reason(error)}",
                Location(str(folder), 1, 1),
            )
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, relative = Path(entry.path), f"{prefix}{entry.name}"
            if path.is_dir():
                stack.append((path, f"{relative}/"))
            elif _wanted(path, seen, problems):
                found.append((path, relative))
        if len(found) > FILES_MAX:
            problems.add(
                "SW116",
                f"more than {FILES_MAX:,} files",
                Location(str(directory.root), 1, 1),
                remedy="name the directory that holds the policies",
            )
            return
    directory.files = sorted(found, key=lambda pair: pair[1])


def _wanted(path: Path, seen: set[tuple[int, int]], problems: Problems) -> bool:
    """True for a file whose name says that it may count."""
    suffix = path.suffix.lower()
    if suffix not in _DOCUMENTS and suffix not in _DATA:
        return False
    try:
        if path.is_file():
            return suffix in _DATA or _first_time(path, seen)
        if not path.is_symlink():
            why = "neither a file nor a directory"
        else:
            why = "a link that leads nowhere"
    except OSError as error:
        why = _reason(error)
    problems.add("SW101", f"cannot be read: {why}", Location(str(path), 1, 1))
    return False


def _first_time(path: Path, seen: set[tuple[int, int]]) -> bool:
    """True once for each real file or directory."""
    status = path.stat()
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


# ------------------------------------------------------------------- documents


def _read_documents(directory: _Directory, problems: Problems) -> None:
    """Reads the documents of one directory; those that its bundle document ignores do not count."""
    read: list[tuple[str, Document | None, Problems]] = []
    for path, relative in directory.files:
        if path.suffix.lower() in _DOCUMENTS:
            own = Problems()
            read.append((relative, _read_document(path, own), own))
    bundles = sorted(
        (
            (relative, document)
            for relative, document, _ in read
            if document is not None and _kind(document) == "bundle"
        ),
        key=lambda pair: (pair[0].count("/"), pair[0]),
    )
    ignore: tuple[str, ...] = ()
    chosen = bundles[0][1] if bundles else None
    if chosen is not None:
        directory.bundle = read_bundle_document(chosen, problems)
        ignore = directory.bundle.ignore
        directory.lists = list(directory.bundle.lists)
    tables = {reference.path for reference in directory.lists}
    for relative, document, own in read:
        if relative in tables and document is not None:
            directory.tables[relative] = document
            problems.take(own)
        if relative in tables or (is_ignored(relative, ignore) and document is not chosen):
            continue
        problems.take(own)
        if document is None or document is chosen:
            continue
        kind = _kind(document)
        if kind == "bundle":
            _second_bundle(document, chosen, problems)
        elif kind is None:
            _no_document(document, problems)
        else:
            directory.documents.append((kind, document))
    for path, relative in directory.files:
        counts = path.suffix.lower() in _DOCUMENTS or relative in tables
        if not counts and not is_ignored(relative, ignore):
            problems.add(
                "SW115",
                "no list names this file, so that it counts for nothing",
                Location(str(path), 1, 1),
                remedy="name it under `lists:` of the bundle document, or under `ignore:`",
            )


def _read_document(path: Path, problems: Problems) -> Document | None:
    data = _read_file(path, DOCUMENT_MAX_BYTES, problems)
    return None if data is None else read_yaml(data, str(path), problems)


def _read_file(path: Path, max_bytes: int, problems: Problems) -> bytes | None:
    """The bytes, at most one more than allowed, so that a huge file is not read."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            problems.add(
                "SW102",
                f"the file has {size:,} bytes; at most {max_bytes:,} are read",
                Location(str(path), 1, 1),
                remedy="split it into several files",
            )
            return None
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        problems.add("SW101", f"cannot be read: {_reason(error)}", Location(str(path), 1, 1))
        return None


def _kind(document: Document) -> str | None:
    """What the first key says that the document is."""
    root = document.root
    if isinstance(root, MapNode) and root.entries and root.entries[0][0].text in _KINDS:
        return root.entries[0][0].text
    return None


def _second_bundle(document: Document, first: Document | None, problems: Problems) -> None:
    other = "" if first is None else f"; the other is {first.source.file}"
    problems.add(
        "SW159",
        f"a second bundle document in one directory{other}",
        document.source.location(document.root.start),
        text=document.source.shown_at(document.root.start),
        remedy="join them into one",
    )


def _no_document(document: Document, problems: Problems) -> None:
    root, source = document.root, document.source
    remedy = "begin with `policy:`, `bundle:` or `tests:`, or add the file to `ignore:`"
    if not isinstance(root, MapNode) or not root.entries:
        message, index = "this is no document: it has no keys", root.start
    else:
        key = root.entries[0][0]
        message, index = f"a document cannot begin with {quoted(key.text)}", key.start
        kinds = [entry.text for entry, _ in root.entries if entry.text in _KINDS]
        nearest = closest(key.text, _KINDS) or remedy
        remedy = f"put `{kinds[0]}:` first" if kinds else nearest
    problems.add(
        "SW114", message, source.location(index), text=source.shown_at(index), remedy=remedy
    )


# ----------------------------------------------------------------------- lists


def _read_lists(directories: Iterable[_Directory], problems: Problems) -> dict[str, object]:
    lists: dict[str, object] = {}
    written: dict[str, bytes] = {}
    for directory in directories:
        for reference in directory.lists:
            path = list_path(reference, directory.root) if reference.path else None
            data = None if path is None else _read_file(path, LIST_MAX_BYTES, problems)
            if path is None or data is None:
                continue
            read = directory.tables.get(reference.path)
            value = read_list(reference, data, str(path), problems, read)
            if value is None:
                continue
            canonical = canonical_json(portable(value))
            if written.setdefault(reference.name, canonical) != canonical:
                reference.reader.problem(
                    reference.node,
                    "SW159",
                    f"the list {quoted(reference.name)} is another one in another directory",
                    remedy="give one of them another name",
                )
            lists.setdefault(reference.name, value)
    return lists
