"""The API key screen: list and forms, rotation, revocation, identification of a pasted key."""
