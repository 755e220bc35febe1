"""`python -m pipeline.verify DATA` reads a whole dataset and reports its problems."""

from pipeline.engines.command_process import run_in_process
from pipeline.verify.command import parse, run

if __name__ == "__main__":
    run_in_process(parse, run)
