"""Side-by-side measurements: `python -m benchmarks` prints ratios of interleaved rounds."""
