"""Rows become the policy in force.

``load`` reads rows and ``compile`` turns them into a frozen ``Snapshot`` and a list of
everything that is wrong. ``holder`` holds the newest snapshot, and ``refresh`` decides
when to check whether it still is. A request takes one snapshot and keeps it to its end.
"""
