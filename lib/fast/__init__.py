"""Faster training of the same models: batches without padding, and several processes for one
run."""
