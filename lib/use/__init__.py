"""What a finished run is used for: labelling texts, export to other runtimes, files for other
tools."""
