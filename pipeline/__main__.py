"""`python -m pipeline`: parses the flags, and writes the dataset."""

from pipeline.command import parse, run
from pipeline.engines.command_process import run_in_process

if __name__ == "__main__":
    run_in_process(parse, run)
