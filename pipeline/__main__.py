"""`python -m pipeline`: flags to configuration, one call."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

from pipeline.command import main

if __name__ == "__main__":
    main()
