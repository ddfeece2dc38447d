"""Start the provisioner: `python -P -m services.provisioner`."""

from services.chassis.process import run
from services.provisioner.app import provisioner
from services.provisioner.settings import ProvisionerSettings

if __name__ == "__main__":
    run("provisioner", ProvisionerSettings, provisioner)
