"""`python -m trainer COMMAND`: parses the flags, and runs the command."""

import sys

from tfrecords_schema import stop_signals
from trainer.malloc_arenas import use_few_arenas
from trainer.replicas.launched_worker import end_with_launcher
from trainer.stop_request import STOPPED_STATUS

if __name__ == "__main__":
    stop_signals.hold_back()
    trains = sys.argv[1:2] in (["train"], ["launch"])
    stop_signals.listen(STOPPED_STATUS if trains else None)
    end_with_launcher()
    use_few_arenas()

    from trainer.command import main  # it imports TensorFlow after it has parsed the flags

    main()
