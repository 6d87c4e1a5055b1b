"""Train one run, or with -m a grid; see README.md or ``python train.py --help``."""

from lightning_seg.cli.train import main

if __name__ == "__main__":
    main()
