"""The command line, `streamwarden`: one module a command group, loaded when it is called."""

from __future__ import annotations

from .root import main

__all__ = ["main"]
