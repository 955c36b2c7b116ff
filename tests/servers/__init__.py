"""Real servers for tests: Kafka, Redis and a schema registry, on loopback, without containers.

Fixtures for them are in tests/conftest.py; README.md says what they need and how to use others.
"""
