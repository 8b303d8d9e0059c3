"""The table, the pages and the plots, all from the results file."""
