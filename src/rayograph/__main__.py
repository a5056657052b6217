"""`python -m rayograph`."""

from rayograph.console.app import main

if __name__ == "__main__":
    main()
