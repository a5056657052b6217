"""`rayograph pack`, for `ray job submit … -- python job/pack.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["pack", *sys.argv[1:]])
