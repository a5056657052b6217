"""`rayograph sweep`, for `ray job submit … -- python tune/sweep.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["sweep", *sys.argv[1:]])
