"""Thin adapters: objectives whose training loop is that of another framework. Each imports its framework when it trains."""
