"""Speed figures, as ratios within one run: machines differ, ratios less."""
