"""The run folder as data: what a run leaves in storage, whoever ran it. No torch."""
