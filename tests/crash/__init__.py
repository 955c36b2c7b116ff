"""Workers that are killed at random moments, a broker that is restarted, and where events are then."""
