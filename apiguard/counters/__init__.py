"""Where numbers live: strict limits, counted in Redis or in this process's memory.

Both counters run the same algorithm (``merged_log.py``; ``window.lua`` is its
twin) and are held to one conformance suite.
"""
