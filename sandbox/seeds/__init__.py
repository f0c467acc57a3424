"""What the sandboxes are filled with: business data for both systems, as plain rows per table."""
