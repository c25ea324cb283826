"""`python -m lightning_nn`: the command line, as train.py has it."""

from lightning_nn.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
