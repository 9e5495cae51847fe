"""The measured table of transfer to small tasks: who learns what of which split, one cell at a time."""
