"""Statistics on plain numbers: Pareto fronts, rank correlations, means with standard errors, paired differences."""
