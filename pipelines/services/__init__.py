"""What runs beside a Dagster run: the embedded Postgres, the sandboxes, the web UI and the daemon."""
