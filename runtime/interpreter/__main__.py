"""Start the interpreter of an instance: `python <this folder> serve|check ...`, run by path."""

import importlib
import os
import sys
import types

# Its own name in sys.modules: users may have modules called `cell` or `loading`, too.
PACKAGE = "_cellnode_interpreter"


def main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    package = types.ModuleType(PACKAGE)
    package.__path__ = [here]
    sys.modules[PACKAGE] = package
    start = importlib.import_module(f"{PACKAGE}.start")
    return int(start.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
