"""The commands, and every word and table that people read on a terminal."""
