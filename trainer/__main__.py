"""`python -m trainer COMMAND`: flags to configuration, one call."""

from tfrecords_schema.start_tensorflow import start_tensorflow
from trainer.heaps import use_few_heaps

if __name__ == "__main__":
    use_few_heaps()
    start_tensorflow()

    from trainer.command import main  # imports TensorFlow: after it was started

    main()
