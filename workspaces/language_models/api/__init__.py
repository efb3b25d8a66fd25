"""REST for language models, their catalogue, credentials and prices."""
