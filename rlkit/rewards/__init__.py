"""Reward modules."""
