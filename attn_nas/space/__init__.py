"""The search space: what may be sampled, and the genotype that a sample is; no torch here."""
