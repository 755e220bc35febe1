"""What runs the job: processes, threads and the settings of workers."""
