"""Speed figures, as ratios within one run, which vary less between machines than times."""
