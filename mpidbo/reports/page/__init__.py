"""`mpidbo report`: a page with the curves, configuration, graph and cost of runs."""
