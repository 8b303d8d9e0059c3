"""One module for each thing that is measured; `bench/__main__.py` lists the functions."""
