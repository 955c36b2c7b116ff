"""Guarded publishing: producer, quarantine, hold, decision log."""
