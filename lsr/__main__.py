"""`python -m lsr`, for what starts Python modules rather than commands, such as `accelerate launch -m lsr`."""

import sys

from lsr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
