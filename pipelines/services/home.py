"""Where things lie in TIEOUT_HOME."""

from dataclasses import dataclass
from pathlib import Path

from tieout.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one installation; made when they are first asked for."""

    root: Path

    def folder(self, *parts: str) -> Path:
        """The folder `parts` below the home, made if it is missing."""
        path = self.root.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise ConfigurationError(
                f"The folder {path} cannot be made ({problem.strerror}). Set TIEOUT_HOME to a folder that you may write to."
            ) from problem
        return path

    @property
    def postgres(self) -> Path:
        """Data of the embedded Postgres. Its parent is made, the folder itself is Postgres' own."""
        return self.folder() / "postgres"

    @property
    def sandbox(self) -> Path:
        """State, journals and certificates of both sandboxes."""
        return self.folder("sandbox")

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME."""
        return self.folder("dagster")

    @property
    def logs(self) -> Path:
        """One log file per service, and Dagster's compute logs."""
        return self.folder("logs")

    @property
    def reports(self) -> Path:
        """One folder per reconciliation, and `latest`."""
        return self.folder("reports")

    @property
    def landing(self) -> Path:
        """Raw pages while they are being landed."""
        return self.folder("landing")

    def record(self, service: str) -> Path:
        """The file that says where `service` runs."""
        return self.folder("run") / f"{service}.json"
