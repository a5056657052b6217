"""How well labels can be told without anatomy, beside the model."""
