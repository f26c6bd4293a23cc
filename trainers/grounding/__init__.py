"""Grounding: a model with random weights learns to point at what is named on labelled screens."""
