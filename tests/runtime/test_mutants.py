"""Whatever was done to a checkpoint's files, nothing of it is unpickled before that is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cellnode
from tests.sources import ROOT

MUTANTS = 1_000
SECONDS_MAX = 100
# In a process of its own: what it counts would otherwise be other tests' loads, too.
PROGRAM = """
import json, pickle, random, sys, types
from pathlib import Path

package = types.ModuleType("restoring")
package.__path__ = [sys.argv[1]]
sys.modules["restoring"] = package
from restoring import loading

unpickled = 0
loads = pickle.loads
def counting(*given, **more):
    global unpickled
    unpickled += 1
    return loads(*given, **more)
pickle.loads = counting

store, digest, count = sys.argv[2], sys.argv[3], int(sys.argv[4])
main = sys.modules["__main__"]
loading.load(store, digest)
sys.modules["__main__"] = main
whole, unpickled = unpickled, 0
dice, reasons = random.Random(7), {}

def mutant(data):
    at = dice.randrange(len(data))
    return dice.choice([
        lambda: data[:at],
        lambda: data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1:],
        lambda: data[:at] + data[at + 1:],
        lambda: data + dice.randbytes(1 + dice.randrange(9)),
        lambda: data[:at] + dice.randbytes(4) + data[at:],
        lambda: dice.randbytes(len(data)),
        lambda: b"",
    ])()

files = [path for folder in ("blobs", "checkpoints") for path in Path(store, folder).rglob("*")]
files = sorted(path for path in files if path.is_file())
for path in files:
    path.chmod(0o644)
for n in range(count):
    path = files[n % len(files)]
    data = path.read_bytes()
    while (made := mutant(data)) == data:
        pass
    path.write_bytes(made)
    try:
        loading.load(store, digest)
        reason = "loaded"
    except loading.Refused as refused:
        reason = refused.reason
    reasons[reason] = reasons.get(reason, 0) + 1
    path.write_bytes(data)
print(json.dumps({"whole": whole, "unpickled": unpickled, "reasons": reasons}))
"""


def test_no_mutant_of_a_checkpoint_reaches_the_unpickler(tmp_path: Path) -> None:
    state = {"words": ["a", "b"], "table": bytearray(range(256)) * 64, "number": 7}
    pin = cellnode.pin("mutants", namespace=state, store=tmp_path, upload=False, check=False)
    interpreter = str(ROOT / "runtime" / "interpreter")
    given = [interpreter, str(tmp_path), pin.digest, str(MUTANTS)]

    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *given],
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told == {
        "whole": len(pin.manifest["groups"]),
        "unpickled": 0,
        "reasons": {"CHECKPOINT_DAMAGED": MUTANTS},
    }
