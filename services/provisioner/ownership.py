"""What the provisioner does about partitions that come and go."""

from __future__ import annotations

from services.chassis.tables_owner import OwnedTables
from services.provisioner.book import Book
from services.provisioner.reconciler import Reconciler


class Ownership:
    """Takes over, then looks at every node of the partitions; lets go of what is revoked."""

    def __init__(self, owned: OwnedTables, book: Book, reconciler: Reconciler) -> None:
        self._owned = owned
        self._book = book
        self._reconciler = reconciler

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        await self._owned.on_assigned(partitions)
        self._book.index(partitions)
        self._reconciler.wake_all()

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Nothing more is written first; then what was under way is given up."""
        await self._owned.on_revoked(partitions)
        await self._reconciler.actor.drop(self._book.owns)
