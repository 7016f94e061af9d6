"""Every field that a stack chooses: its rule, default, description and place in ARM, and what may go together."""
