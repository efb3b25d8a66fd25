"""The pages of language models, their catalogue and prices."""
