"""`python -P -m services.health`: the process that says what is healthy."""

import gc

from services.chassis.process import run
from services.health.app import wired
from services.health.settings import HealthSettings

# Objects made since the last collection. A table's records hold no cycles, and a collection that
# walks them all stops every probe meanwhile.
COLLECT_AFTER = (50_000, 20, 20)

if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # What the imports left stays for good.
    gc.set_threshold(*COLLECT_AFTER)
    run("health", HealthSettings, wired, use_uvloop=True)
