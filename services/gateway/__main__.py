"""`python -P -m services.gateway`: one process of the gateway."""

import gc

from services.chassis.process import run
from services.gateway.app import gateway
from services.gateway.settings import GatewaySettings

COLLECT_AFTER = 20_000  # Objects.

if __name__ == "__main__":
    gc.collect()
    gc.freeze()  # What the imports left stays for good: no collection need look at it.
    gc.set_threshold(COLLECT_AFTER)  # A call leaves no cycles.
    run("gateway", GatewaySettings, gateway, use_uvloop=True, listens=False)
