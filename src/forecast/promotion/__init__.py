"""Which bundle serves: one log, from which the pointer of a folder and the aliases of the registry follow."""
