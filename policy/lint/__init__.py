"""Advice on policies that are correct: rules that do nothing, or not what they seem to.

Every warning has a code (`policy explain-code SW180`). What is claimed about all events (`never`,
`whenever`) is proved, see `claims`; what cannot be proved is not said. Nothing here runs when a
guard loads policies.
"""

from __future__ import annotations
