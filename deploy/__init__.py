"""What runs cellnode on several machines, and the generators of what is committed here."""
