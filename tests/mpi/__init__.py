"""Scripts that tests start on several ranks."""
