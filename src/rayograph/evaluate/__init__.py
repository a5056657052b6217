"""What a model is worth: predictions, metrics with intervals, tables. No Ray."""
