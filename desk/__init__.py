"""The desk: the web pages on which analysts work through breaks, matches and periods."""
