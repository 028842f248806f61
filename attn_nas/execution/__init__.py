"""Where trainings run: in this process, in local worker processes, on GPUs, on a Ray cluster."""
