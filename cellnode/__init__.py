"""Turn a notebook cell into a load-balanced network service."""

from cellnode.pin import NotPinned, Pin, PinError, Skipped, pin
from cellnode.store import Store, StoreError

__all__ = ["NotPinned", "Pin", "PinError", "Skipped", "Store", "StoreError", "pin"]
