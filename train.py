"""Command line of the course: train, test and predict; see `python train.py --help`."""

from lightning_nn.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
