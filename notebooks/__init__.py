"""The studies: a notebook each, and beside it a module with what only this study needs."""
