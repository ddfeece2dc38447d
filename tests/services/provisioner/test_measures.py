"""What the provisioner counts; a kind that a sender made up makes no series."""

from __future__ import annotations

from schemas.errors import InvalidField
from services.chassis.metrics import Metrics
from services.provisioner.measures import Measures
from services.provisioner.outcomes import accepted, rejected
from tests.builders import NOON, a_command, a_node
from tests.exposition import label_values, number, promtool_says, shown

PREFIX = "cellnode_provisioner_"
COMMANDS = f"{PREFIX}commands_total"


def test_a_command_counts_by_its_kind_if_it_is_one_of_ours() -> None:
    metrics = Metrics("provisioner")
    measures = Measures(metrics)
    command, node = a_command("ScaleNode", want=2), a_node()
    wrong = InvalidField("want: is no number", field="want")
    assert measures.decided(accepted(command, node, NOON)) == "ACCEPTED"
    for kind in ("ScaleNode", *(f"Made{n}" for n in range(100)), None, 7):
        said = measures.decided(rejected(command, kind, "d" * 64, wrong, now=NOON))
        assert said == "INVALID"
    text = metrics.text().decode()

    assert label_values(text, "kind") == {"ScaleNode", "any"}
    assert number(text, COMMANDS, kind="ScaleNode") == 2
    assert number(text, COMMANDS, kind="any", outcome="INVALID") == 102
    assert promtool_says(text) == ""


def test_its_names_are_a_contract() -> None:
    metrics = Metrics("provisioner")
    Measures(metrics)
    assert shown(metrics, PREFIX) == {
        "commands_total": ("counter", "kind outcome"),
        "actions_total": ("counter", "kind result"),
        "action_duration_seconds": ("histogram", "kind"),
        "usage_seconds_total": ("counter", "instance_type"),
        "instances": ("gauge", ""),
        "partitions": ("gauge", ""),
    }
