"""One file an arrow of the article: from the image X to the answer."""
