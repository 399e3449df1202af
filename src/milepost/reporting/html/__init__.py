"""Documents as HTML pages that stand alone."""
