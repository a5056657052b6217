"""`rayograph doctor`, for `ray job submit … -- python job/doctor.py`."""

import sys

from rayograph.cli import main

if __name__ == "__main__":
    main(["doctor", *sys.argv[1:]])
