"""Records of what happened, written away from requests: bounded, and no request waits."""
