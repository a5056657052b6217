"""The training loop, its state and its optimizer. No Ray."""
