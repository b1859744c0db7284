"""The memory of a machine, cycle by cycle: requests, controllers, standards as data."""
