"""A mixed load for a long time, under faults: what is wrong, lost or doubled at the end."""
