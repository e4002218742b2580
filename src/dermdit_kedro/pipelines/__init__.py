"""The five pipelines: thin nodes and their wiring."""
