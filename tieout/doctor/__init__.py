"""What `tieout doctor` makes of what the systems told it. Pure: asking is in `pipelines/cli/doctor*.py`."""

from tieout.doctor.finding import Finding, Status, clock

__all__ = ["Finding", "Status", "clock"]
