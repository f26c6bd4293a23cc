"""Prompt formats: how a goal, a history and a screenshot become a prompt, and text an action."""
