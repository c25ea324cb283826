"""Images with captions: processor, vocabulary, tokens, and the files they are read from."""
