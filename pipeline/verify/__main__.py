"""`python -m pipeline.verify DATA`: reads a whole dataset and says what is wrong with it."""

import logging
import traceback

from tfrecords_schema import stop_signals
from tfrecords_schema.start_tensorflow import start_tensorflow

if __name__ == "__main__":
    stop_signals.listen()
    start_tensorflow(log_level=3)  # what is wrong is printed
    logging.getLogger().setLevel(logging.ERROR)  # Beam warns of optional packages on import

    from pipeline.failures import hush_workers  # imports TensorFlow: after it was started
    from pipeline.verify.verify_dataset import main

    hush_workers()
    try:
        main()
    except Exception:  # a defect: threads are not to go on
        traceback.print_exc()
        stop_signals.end(1)
