"""What looks inside a run of a loaded model: the Inspector and its instruments."""
