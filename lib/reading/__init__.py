"""Files of any form to the rows of a corpus: formats, columns, labels, and rows to train, dev and
test."""
