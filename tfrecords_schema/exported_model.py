"""The names in an exported model: `trainer.export` writes them and `trainer.serving` reads them.

    EXPORT/<version>/
      saved_model.pb, variables/    the dataset's image encoder, decoder, beam search, vocabulary
      assets.extra/beamcap.json     fingerprints of dataset and encoder, and the search's settings

It has two signatures:

    serving_default   image_bytes string [batch] -> captions string [batch, beams], best first;
                      log_probs float32 [batch, beams]; error string [batch], "" or the reason why
                      the captions of a picture are "" and its log_probs 0
    encode            image_bytes string [batch] -> features float32 [batch, ...], as the pipeline's
                      (of a dataset of images: jpeg_bytes string [batch]); error string [batch]
"""

import os

from tfrecords_schema.errors import InputError
from tfrecords_schema.image_formats import FORMAT_NAMES

SERVE_TAG = "serve"  # of the graph that TensorFlow Serving loads
CAPTION_SIGNATURE = "serving_default"
ENCODE_SIGNATURE = "encode"
IMAGE_BYTES = "image_bytes"  # the input of both signatures
CAPTIONS, LOG_PROBS, ERROR = "captions", "log_probs", "error"  # outputs of CAPTION_SIGNATURE
FEATURES, JPEG_BYTES = "features", "jpeg_bytes"  # outputs of ENCODE_SIGNATURE, one of the two

SAVED_MODEL_FILE = "saved_model.pb"
METADATA_FILE = os.path.join("assets.extra", "beamcap.json")

# The oldest TensorFlow that loads and runs an export of the default formats, and the formats that
# it can decode. TensorFlow Serving's releases lag behind TensorFlow's.
OLDEST_TENSORFLOW = "2.18"
DEFAULT_FORMATS = ("JPEG", "PNG", "GIF", "BMP")


def parse_formats(text: str) -> tuple[str, ...]:
    """The value of `--formats`, names separated by commas, as those of FORMAT_NAMES.

    Raises:
      InputError: a name is none of them, or there is none.
    """
    by_name = {name.lower(): name for name in FORMAT_NAMES}
    asked = {name.strip().lower() for name in text.split(",")} - {""}
    if not asked or asked - by_name.keys():
        raise InputError(f"--formats={text} must be some of: {','.join(by_name)}")
    return tuple(name for key, name in by_name.items() if key in asked)
