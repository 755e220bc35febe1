"""`python -m pipeline.verify DATA`: reads a whole dataset and says what is wrong with it."""

import logging

from tfrecords_schema.start_tensorflow import start_tensorflow

if __name__ == "__main__":
    start_tensorflow(log_level=3)  # what is wrong is printed
    logging.getLogger().setLevel(logging.ERROR)  # Beam warns of optional packages on import

    from pipeline.verify_dataset import main  # imports TensorFlow: after it was started

    main()
