"""Charts as SVG: figures of a page, in its theme, and documents."""
