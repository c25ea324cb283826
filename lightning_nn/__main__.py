"""The command line as `python -m lightning_nn`; the same as train.py."""

from lightning_nn.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
