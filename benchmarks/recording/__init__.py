"""Recording beside the bare tools and beside other recorders, all in one interleaved run."""
