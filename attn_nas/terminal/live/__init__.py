"""Live view of a search in a terminal, redrawn as the search goes on."""
