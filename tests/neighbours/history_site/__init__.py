"""A site whose rows keep their history by the packages that many projects use for that."""
