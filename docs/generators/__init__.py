"""Pages of the site that are made from the code each time it is built."""
