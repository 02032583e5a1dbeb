"""Runs, checkpoints, reports and the command line."""
