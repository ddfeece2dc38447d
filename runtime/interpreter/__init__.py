"""Runs a user's cell under the user's own Python; standard library and cloudpickle only."""
