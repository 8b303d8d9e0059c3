"""Two sessions at the same rows, one step at a time, in both orders."""
