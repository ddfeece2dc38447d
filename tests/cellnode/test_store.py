"""The store on disk, as others see it who use the same directory."""

import os
import time
from pathlib import Path

from cellnode import Store


def test_a_blob_that_is_there_is_wanted_anew_so_that_nobody_frees_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    reference, _ = store.put_blob(b"content")
    path = store.blob_path(reference["sha256"])
    os.utime(path, (1, 1))
    store.put_blob(b"content")
    assert time.time() - path.stat().st_mtime < 3600
