"""Pages of a run for a browser; the live dashboard and the report file share them."""
