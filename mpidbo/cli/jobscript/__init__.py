"""`mpidbo jobscript`."""
