"""The names in an exported model, which `trainer.export` writes and `trainer.serving` reads.

    EXPORT/<version>/
      saved_model.pb, variables/    the dataset's image encoder, decoder, beam search, vocabulary
      assets.extra/beamcap.json     fingerprints of dataset and encoder, and the search settings

It has two signatures:

    serving_default   image_bytes string [batch] -> captions string [batch, beams], best first;
                      log_probs float32 [batch, beams]; error string [batch], "" or the reason
                      (then the picture's captions are "" and its log_probs 0)
    encode            image_bytes string [batch] -> features float32 [batch, ...], as the pipeline's
                      (jpeg_bytes string [batch] if trained on images); error string [batch]
"""

import os

SERVE_TAG = "serve"  # tag of the graph that TensorFlow Serving loads
CAPTION_SIGNATURE = "serving_default"
ENCODE_SIGNATURE = "encode"
IMAGE_BYTES = "image_bytes"  # the input of both signatures
CAPTIONS, LOG_PROBS, ERROR = "captions", "log_probs", "error"  # outputs of CAPTION_SIGNATURE
FEATURES, JPEG_BYTES = "features", "jpeg_bytes"  # outputs of ENCODE_SIGNATURE, one of the two

SAVED_MODEL_FILE = "saved_model.pb"
METADATA_FILE = os.path.join("assets.extra", "beamcap.json")

# The oldest TensorFlow that runs an export of `image_formats.DEFAULT_FORMATS`. It is not the
# newest, since TensorFlow Serving's releases lag behind TensorFlow's.
OLDEST_TENSORFLOW = "2.18"
