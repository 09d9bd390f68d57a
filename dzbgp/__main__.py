"""`python -m dzbgp ...` is `dzbgp ...`."""

from dzbgp.cli.app import main

if __name__ == "__main__":
    main()
