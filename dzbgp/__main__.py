"""`python -m dzbgp ...` is `dzbgp ...`."""

from dzbgp.cli import main

if __name__ == "__main__":
    main()
