"""Classifiers: the paper's CNN and torchvision's families, for one-channel films."""
