"""`python -m pipeline`: flags to configuration, one call."""

import logging

from pipeline.large_pages import use_large_pages
from tfrecords_schema.start_tensorflow import start_tensorflow

if __name__ == "__main__":
    use_large_pages()
    start_tensorflow(log_level=3)  # a damaged image has its row in the rejects table
    logging.getLogger().setLevel(logging.ERROR)  # Beam warns of optional packages on import

    from pipeline.command import main  # imports TensorFlow: after it was started

    main()
