"""Reads zip and tar files by their directory, without extracting them."""
