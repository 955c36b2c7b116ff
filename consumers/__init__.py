"""Guarded consuming: consumer, handler runner, offsets."""
