"""`rayograph train`, for `ray job submit … -- python job/train.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
