"""`mpidbo doctor`."""
