"""`python -m pipelines` is the command `tieout`."""

from pipelines.cli.main import main

if __name__ == "__main__":
    main()
