"""What happened, told away from the request: buffered, bounded, never waited for."""
