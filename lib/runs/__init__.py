"""Runs: configurations that are trained once, kept in a store, and go on where they stopped."""
