"""Beam runners: processes, threads and the settings of workers."""
