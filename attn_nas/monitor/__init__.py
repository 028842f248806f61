"""Watch runs: one-line summaries, a search in another process, a search behind a dashboard."""
