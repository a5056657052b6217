"""Loss curves that must not move: by a bit on one machine, by rounding on another."""
