"""Inference of large language models under tensor parallelism: what All-Reduce is worth."""
