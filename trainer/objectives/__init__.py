"""What is learned from: the losses and the step of one replica."""
