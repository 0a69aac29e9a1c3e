"""``python -m zmesh``: the command line."""

from zmesh.cli.main import main

if __name__ == "__main__":
    main()
