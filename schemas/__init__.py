"""What the bytes mean: framing, registry, projected decoding, our own record schemas."""
