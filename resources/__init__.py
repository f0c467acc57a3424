"""The outside, as Dagster resources over plain clients."""
