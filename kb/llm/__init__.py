"""What turns hits into an answer: a model behind an endpoint, or quotations with no weights at all."""
