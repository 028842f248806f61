"""``python -m attn_nas``."""

from attn_nas.cli import main

main()
