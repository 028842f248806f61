"""Statistics that know nothing of networks: fronts, rank correlations, means with their uncertainty, paired gains."""
