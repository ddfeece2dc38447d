"""`python -P -m services.health`: the process that says what is healthy."""

from services.chassis.process import run
from services.health.app import wired
from services.health.settings import HealthSettings

if __name__ == "__main__":
    run("health", HealthSettings, wired, use_uvloop=True)
