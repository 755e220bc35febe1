"""`python -m trainer COMMAND`: flags to configuration, one call."""

import sys

from tfrecords_schema import stop_signals
from tfrecords_schema.start_tensorflow import start_tensorflow
from trainer.malloc_arenas import use_few_arenas
from trainer.replicas.launched_worker import end_with_launcher
from trainer.stop_request import STOPPED_STATUS

if __name__ == "__main__":
    stop_signals.hold_back()
    trains = sys.argv[1:2] in (["train"], ["launch"])
    stop_signals.listen(STOPPED_STATUS if trains else None)
    end_with_launcher()
    use_few_arenas()
    start_tensorflow()

    from trainer.command import main  # imports TensorFlow: after it was started

    main()
