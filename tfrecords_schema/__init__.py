"""What a beamcap dataset looks like on disk: the doorway between the pipeline and the trainer."""
