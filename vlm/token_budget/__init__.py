"""How many visual tokens a photo costs each family of models."""
