"""Numpy and scikit-learn in a fork: native threads survive, arrays are shared between instances."""

import os
import signal
from pathlib import Path

from tests.runtime.instances import Instances, children

TRAINING = """
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
features, labels = make_classification(2000, random_state=1)
model = HistGradientBoostingClassifier(max_iter=5, random_state=1).fit(features, labels)
expected = model.predict(features[:500]).tolist()
rows = features[:500].tolist()
"""
PREDICTING = """
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
threads = _openmp_effective_n_threads()
is_same = model.predict(np.asarray(rows)).tolist() == expected
product = float((np.ones((600, 600)) @ np.ones((600, 600)))[0, 0])
"""


def test_a_forked_model_predicts_with_threads_also_after_a_new_fork(instances: Instances) -> None:
    outputs = ["threads", "is_same", "product"]
    instance = instances.start(PREDICTING, state=TRAINING, outputs=outputs).ready()
    right = {"threads": 2, "is_same": True, "product": 600.0}

    assert instance.output() == right
    assert instance.output() == right
    os.kill(instance.fork_pid, signal.SIGKILL)
    assert instance.until_seq(5)["reason"] == "STATE_LOST"
    assert instance.output() == right


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    fields = dict(line.split(":") for line in lines[1:])
    return sum(int(fields[f"Private_{kind}"].split()[0]) for kind in ("Clean", "Dirty")) * 1024


def test_big_arrays_are_mapped_not_copied_and_writes_stay_private(instances: Instances) -> None:
    array_bytes = 64 * 1024**2
    state = f"import numpy as np\nbig = np.arange({array_bytes // 8})"
    pinned = instances.pin(state, check=False)
    cell = "total = int(big.sum()); big[0] += 1; first = int(big[0])"
    two = [
        instances.start(cell, checkpoint=pinned.digest, outputs=["total", "first"]).ready()
        for _ in range(2)
    ]

    outputs = [instance.output() for instance in two]

    numbers = array_bytes // 8
    assert outputs == [{"total": numbers * (numbers - 1) // 2, "first": 1}] * 2
    for instance in two:
        for pid in (children(instance.agent_pid)[0], instance.fork_pid):
            assert private_bytes(pid) < array_bytes // 2
