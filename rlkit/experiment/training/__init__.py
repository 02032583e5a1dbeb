"""Training a population, keeping it, going on with it, taking it out again."""
