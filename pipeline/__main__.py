"""`python -m pipeline`: flags to configuration, one call."""

import logging
import traceback

from pipeline.engines.large_pages import use_large_pages
from tfrecords_schema import stop_signals
from tfrecords_schema.start_tensorflow import start_tensorflow

if __name__ == "__main__":
    stop_signals.hold_back()
    use_large_pages()
    stop_signals.listen()
    start_tensorflow(log_level=3)  # a damaged image has its row in the rejects table
    logging.getLogger().setLevel(logging.ERROR)  # Beam warns of optional packages on import

    from pipeline.command import main  # imports TensorFlow: after it was started
    from pipeline.failures import hush_workers

    hush_workers()
    try:
        main()
    except Exception:  # a defect: threads and worker processes are not to go on
        traceback.print_exc()
        stop_signals.end(1)
