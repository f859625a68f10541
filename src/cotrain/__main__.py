"""`python -m cotrain` is the command `cotrain`."""

from cotrain.cli.main import main

if __name__ == "__main__":
    main()
