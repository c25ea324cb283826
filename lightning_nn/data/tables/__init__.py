"""Tables and folders of files: opening, decoding, rows, columns, labels, splits. Knows neither text nor torch."""
