"""How one run is trained: what is built for it, checkpoints, and the files that it leaves."""
