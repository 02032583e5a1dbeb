"""Trainings as index-addressed jobs: one file of them, one entry that runs any, on one machine or many."""
