"""The measured table of experts: what is fitted to what, one cell at a time, and what comes of it."""
