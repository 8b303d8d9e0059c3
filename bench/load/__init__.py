"""Who sends, receives and processes while something is measured."""
