"""`python -m pipeline`: flags to configuration, one call."""

from tfrecords_schema.start_tensorflow import start_tensorflow

if __name__ == "__main__":
    start_tensorflow()

    from pipeline.command import main  # imports TensorFlow: after it was started

    main()
