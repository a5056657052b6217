"""`rayograph doctor`, for `ray job submit … -- python job/doctor.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]])
