"""Declarative policy enforcement for Kafka event streams."""
