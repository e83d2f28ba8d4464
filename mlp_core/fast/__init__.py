"""What makes training fast: the same numbers with less work. The textbook reads without it."""
