"""rayograph: from a bucket of chest X-rays to a trained and honestly measured classifier."""
