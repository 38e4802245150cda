"""Rows become the policy in force.

``load`` reads rows, ``compile`` turns them into a frozen ``Snapshot`` and a
list of everything that is wrong, ``current`` holds the newest one and looks
whether it still is. A request takes one snapshot and keeps it to its end.
"""
