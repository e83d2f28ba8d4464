"""Code that makes training fast: it computes the same numbers with less work."""
