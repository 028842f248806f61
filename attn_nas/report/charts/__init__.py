"""Charts: data that the scripts of a page draw, and SVG documents."""
