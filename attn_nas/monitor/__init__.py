"""What a person watches: summaries of runs, a run that goes on, a dashboard elsewhere."""
