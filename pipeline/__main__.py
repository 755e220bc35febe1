"""`python -m pipeline`: flags to configuration, one call."""

from pipeline.command import parse, run
from pipeline.engines.command_process import run_in_process

if __name__ == "__main__":
    run_in_process(parse, run)
