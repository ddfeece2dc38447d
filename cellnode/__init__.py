"""Turn a notebook cell into a load-balanced network service."""

from cellnode.pin import NotPinned, Pin, Skipped, pin
from cellnode.pin_check import PinError
from cellnode.store import Store, StoreError

__all__ = ["NotPinned", "Pin", "PinError", "Skipped", "Store", "StoreError", "pin"]
