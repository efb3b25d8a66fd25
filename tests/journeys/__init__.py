"""Whole journeys, from sign-up to an answer, across all apps."""
