"""Files that are replaced in one step: whoever reads one finds the old content, or the new one."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(final: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Puts `content` in the place of `final`, on disk when this returns; else OSError, and nothing.

    `mode` is that of the file, less what the process masks.
    """
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(8)}.tmp")
    try:
        made = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        with os.fdopen(made, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
