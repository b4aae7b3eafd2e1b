"""What touches the network: models and pinned files by name, checked and kept."""
