"""Output for a terminal: tables, lines of text and the live view of a search."""
