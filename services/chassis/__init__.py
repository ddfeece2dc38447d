"""What every process stands on; it knows messages and errors, never a node."""
