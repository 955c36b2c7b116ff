"""The compose file, brought up with containers: `make test-compose`."""
