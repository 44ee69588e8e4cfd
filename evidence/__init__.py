"""Proves: the nouns, their bytes, and every check that an opposing expert can repeat alone.

Pure: no network, no clock but the one handed in, no store. It imports the standard library,
`cryptography`, `rfc8785` and `warcio`, so that it can be read in an afternoon and run anywhere.
"""
