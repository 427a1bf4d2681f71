"""Files of any form to the rows of a corpus: formats, columns, labels, and splits."""
