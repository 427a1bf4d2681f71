"""One run and many: found in the store or made, here or by workers of a cluster; searches."""
