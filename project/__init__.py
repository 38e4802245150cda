"""The reference site: a small orders API, guarded by apiguard."""
