"""Decodes pictures and brings those of a set to one size."""
