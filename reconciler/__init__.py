"""History against policy: slices, replay, findings, report, engines."""
