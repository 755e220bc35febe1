"""`python -m pipeline.local_worker`: one of several worker processes of the local runner.

It is Beam's own worker, started with TensorFlow imported quietly and without the log of its
channels: what the user is to know comes from the launcher. Errors are still logged.
"""

import logging

from pipeline.large_pages import use_large_pages
from tfrecords_schema.start_tensorflow import start_tensorflow

if __name__ == "__main__":
    use_large_pages()
    logging.disable(logging.WARNING)
    start_tensorflow(log_level=3)  # a damaged image has its row in the rejects table

    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
