"""Side-by-side measurements: ours against what a reader would otherwise use. ``make bench`` runs them all."""
