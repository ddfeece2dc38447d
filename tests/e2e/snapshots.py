"""A Redis put back to what it was earlier, as a restore from an old backup does."""

from __future__ import annotations

from redis import Redis

Snapshot = dict[bytes, tuple[int, bytes]]


def snapshot(socket_path: str) -> Snapshot:
    """Every key with its remaining life and its value."""
    with Redis(unix_socket_path=socket_path) as client:
        found: Snapshot = {}
        for key in client.keys("*"):
            value = client.dump(key)
            if value is not None:
                found[key] = (max(0, client.pttl(key)), value)
        return found


def restore(socket_path: str, old: Snapshot) -> None:
    """All at once: nobody sees a state in between."""
    with Redis(unix_socket_path=socket_path) as client, client.pipeline(transaction=True) as step:
        step.flushall()
        for key, (life_ms, value) in old.items():
            step.restore(key, life_ms, value)
        step.execute()
