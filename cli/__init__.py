"""The command line: starts the same stages as the page, and watches them."""
