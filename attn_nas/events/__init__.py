"""What a search tells while it goes on, and how that is written and read."""
