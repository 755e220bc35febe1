"""The training objectives: the losses, and the step of one replica."""
