"""Keeps contact with every instance, says what is true of it, and projects it into Redis."""
