"""Whole studies: a grid of trainings as data, hypotheses stated before, a report of what survives."""
