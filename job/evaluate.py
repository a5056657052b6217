"""`rayograph evaluate`, for `ray job submit … -- python job/evaluate.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
