"""The records of the built-in mechanisms, by family."""

from attn_nas.attention.records import channel, combined, convolution, pairwise, spatial

RECORDS = (*channel.RECORDS, *spatial.RECORDS, *combined.RECORDS, *pairwise.RECORDS, *convolution.RECORDS)
