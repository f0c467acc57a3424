"""The rules of Tieout: contracts, canonical values, comparison, delivery states and reports. No network, no Dagster."""

__version__ = "0.1.0"
