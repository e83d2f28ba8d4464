"""Reads images, or rows of numbers, from tables: CSV, JSON lines and parquet."""
