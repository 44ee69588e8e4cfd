"""Records: each client's own network stack is tapped above TLS, and one sink writes the WARC."""
