"""The room of Ray: training, packing and progress on a cluster."""
