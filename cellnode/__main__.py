"""`python -m cellnode` is the command `cellnode`."""

import sys

from cellnode.cli import main

if __name__ == "__main__":
    sys.exit(main())
