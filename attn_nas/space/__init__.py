"""The search space: trunks, genotypes, their encoding as parameters, and search-space files; no torch here."""
