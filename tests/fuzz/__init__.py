"""Bytes from outside, made of valid ones by damaging them: every parser gives a value or its own error."""
