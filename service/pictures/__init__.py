"""Pictures: pure functions from arrays to pixels. They touch no file, no network and no clock."""
