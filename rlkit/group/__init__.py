"""Group-relative policy optimisation: from rewards of groups of completions to gradients, in stages."""
