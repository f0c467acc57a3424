"""What is made: one module per step from the two systems to the report."""
