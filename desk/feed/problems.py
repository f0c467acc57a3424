"""What is wrong with a request to the feed: a status of HTTP and a sentence for whoever wrote the request."""


class FeedProblem(Exception):
    """`status`: of the answer. `message`: what is wrong and what would be right. `target`: the part of the request, such as `$filter`."""

    def __init__(self, status: int, message: str, target: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.target = target


def wrong(message: str, target: str = "") -> FeedProblem:
    """400: the request contradicts OData or the model."""
    return FeedProblem(400, message, target)


def unsupported(message: str, target: str = "") -> FeedProblem:
    """501: OData knows it, the feed does not do it (OData 4.0 Protocol, 9.3.1)."""
    return FeedProblem(501, message, target)


def missing(message: str) -> FeedProblem:
    """404: nothing is at this address."""
    return FeedProblem(404, message)
