"""A run as pages for a browser, alike in the live dashboard and in the report of one file."""
