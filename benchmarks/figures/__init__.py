"""The documented figures: the results that they come from, the commands that measure these, and the tables that show them."""
