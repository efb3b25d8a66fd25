"""Conversations: listing, renaming, sharing, images, copies at engines, final deletion."""
