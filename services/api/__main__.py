"""`python -P -m services.api`: the process that people and programs talk to."""

from services.api.app import wired
from services.api.settings import ApiSettings
from services.chassis.process import run

if __name__ == "__main__":
    run("api", ApiSettings, wired, use_uvloop=True, listens=False)
