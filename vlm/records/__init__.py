"""What a caller sees: frozen records of patches, tokens, runs and similarities. No model."""
