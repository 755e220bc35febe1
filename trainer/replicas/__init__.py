"""Several devices and machines: strategies, worker processes, random numbers."""
