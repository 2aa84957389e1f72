"""The engine: stages that turn recordings into a voice. Importing it costs nothing."""
