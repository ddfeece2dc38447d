"""`python -P -m services.annotations`: the process that marks changes of status in Grafana."""

from services.annotations.app import wired
from services.annotations.settings import AnnotationsSettings
from services.chassis.process import run

if __name__ == "__main__":
    run("annotations", AnnotationsSettings, wired)
