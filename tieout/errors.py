"""What can go wrong, sorted by what the reader does next.

TieoutError
├── ConfigurationError     set the environment right, then start again
├── ContractError          put the contract right; nothing is extracted until then
├── RecordError            put one record right; the others go on
├── SourceUnavailable      wait, or repair the network; the same run may be started again at any time
├── AuthenticationProblem  give the right secret or permission
├── RequestRefused         the system understood the request and said no: the message is its own words
└── BudgetSpent            wait, or raise the budget; the run is incomplete, and nothing is lost
"""


class TieoutError(Exception):
    """Root of all errors whose message is written for the person who reads it."""


class ConfigurationError(TieoutError):
    """The environment does not say enough, or contradicts itself."""


class ContractError(TieoutError):
    """A contract that cannot be obeyed; nothing is extracted until it is put right."""


class RecordError(TieoutError):
    """One record cannot be used as it is; the others go on."""


class SourceUnavailable(TieoutError):
    """A system could not be reached, or did not answer in time."""


class AuthenticationProblem(TieoutError):
    """A system does not accept who we say we are, or what we may do."""


class RequestRefused(TieoutError):
    """A system understood a request and refused it; the message holds its own words.

    `status` is the HTTP status, `code` the system's error code where it has one.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BudgetSpent(TieoutError):
    """One more call would pass a budget, so it was not made; what is not done yet is for a later run."""
