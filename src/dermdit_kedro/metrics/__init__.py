"""What is measured: images against real ones, diagnoses against labels, groups against one another."""
