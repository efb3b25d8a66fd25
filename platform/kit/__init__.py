"""The ground every app stands on; imports no app."""
