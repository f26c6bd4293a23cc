"""Rewards, advantages, losses, the learner and the training loops."""
