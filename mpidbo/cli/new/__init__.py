"""`mpidbo new`."""
