"""Start an instance: `python -P -m runtime <instance directory>`."""

import sys

from runtime import keeper

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -P -m runtime <instance directory>\n")
        sys.exit(2)
    sys.exit(keeper.run(sys.argv[1]))
