"""`rayograph compare`, for `ray job submit … -- python job/compare.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
