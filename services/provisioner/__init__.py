"""Owns nodes and instances: decides on commands, and makes the world as the nodes say."""
