"""The rule language: CEL text to a checked syntax tree to generated code."""
