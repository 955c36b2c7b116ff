"""`python -m streamwarden` is the command `streamwarden`."""

from __future__ import annotations

from streamwarden.cli import main

if __name__ == "__main__":
    main(prog_name="streamwarden")
