"""TFRecords to a trained captioner and a SavedModel, on tf.distribute."""
