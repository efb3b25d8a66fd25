"""The life of a turn: request, context, decision, admission, running, events, closing."""
