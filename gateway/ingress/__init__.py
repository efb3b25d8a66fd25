"""What clients call: the edge, the turn's lifecycle, its events and their replay."""
