"""The modules of the mechanisms, one file per paper; they import only torch and the rules for sizes."""
