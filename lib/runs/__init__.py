"""What one run is, and how it is stored: its configuration, its key, its files and their seal."""
