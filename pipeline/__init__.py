"""Captioned images to sharded TFRecords, on Apache Beam."""
