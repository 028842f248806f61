from attn_nas.readable import count, duration, percent

__all__ = ["count", "duration", "percent"]
