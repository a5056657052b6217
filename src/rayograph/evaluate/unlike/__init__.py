"""Whether a sample is unlike those that a model was validated on."""
