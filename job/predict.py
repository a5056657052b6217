"""`rayograph predict`, for `ray job submit … -- python job/predict.py`."""

import sys

from rayograph.console.app import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
