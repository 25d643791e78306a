"""What a run or a computation looks like to a reader: pages, text, pictures."""
