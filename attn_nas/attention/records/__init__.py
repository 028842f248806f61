"""What is known of every mechanism that comes with the package, by family."""

from attn_nas.attention.records import channel, combined, convolution, pairwise, spatial

RECORDS = (*channel.RECORDS, *spatial.RECORDS, *combined.RECORDS, *pairwise.RECORDS, *convolution.RECORDS)
