"""Whole studies: a grid of trainings as data, hypotheses written down before, and a report of what survives."""
