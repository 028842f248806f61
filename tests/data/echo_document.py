"""Prints a document with the last argument; fails if that is ``fail``."""

import json
import sys

if sys.argv[-1] == "fail":
    raise SystemExit(3)
print(json.dumps({"rows": [{"word": sys.argv[-1]}]}))
