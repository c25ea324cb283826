"""Trains, tests and asks the course's models: `python train.py --help`."""

from lightning_nn.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
