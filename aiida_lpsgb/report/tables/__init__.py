"""What was found, as tables: to be printed, shown on a page or written to files."""
