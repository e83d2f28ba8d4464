"""Trainers that take part in the race: each a process of its own, in its own environment."""
