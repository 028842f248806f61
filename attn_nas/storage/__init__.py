"""Where a run keeps its study: in an SQLite file of its own, or on a database server that many runs share."""
