"""Charts as records, computed once from the engine's results, and a matplotlib renderer of them.

The front end renders the same records: neither renderer does arithmetic on results.
"""
