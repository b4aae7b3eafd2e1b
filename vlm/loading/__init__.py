"""From a name to a model that is known to be looked into rightly."""
