"""The side that faces clients: accepting, choosing a filter chain, HTTP and TCP."""
