"""`python -m sandbox`: serve one of the two systems, or fill both with data."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

COULD_NOT_RUN = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 = done, 2 = could not run (one message on standard error says why)."""
    arguments = _parser().parse_args(argv)
    if arguments.command == "seed":
        return _seed(arguments)
    return _serve(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A Salesforce and a D365 on this machine that speak the real protocols."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, title, port in (("salesforce", "Salesforce", 8210), ("d365", "D365 F&O", 8220)):
        server = commands.add_parser(name, help=f"serve {title} until told to stop")
        _add_state(server)
        server.add_argument(
            "--faults",
            type=Path,
            metavar="FILE",
            help="JSON file of what goes wrong, as POST /_sandbox/faults takes it",
        )
        server.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        server.add_argument(
            "--port", type=_port, default=port, help="plain http; 0 = a free one (default: %(default)s)"
        )
        server.add_argument(
            "--tls-port", type=_port, default=port + 1, help="TLS; 0 = a free one (default: %(default)s)"
        )
        if name == "salesforce":
            server.add_argument(
                "--pubsub-port",
                type=_port,
                help="Pub/Sub API (gRPC); 0 = a free one (default: two above --port, free where that is)",
            )
    seed = commands.add_parser("seed", help="fill both systems; progress on stderr, one JSON line of counts on stdout")
    seed.add_argument("spec", metavar="SPEC", help="generated[:OPPORTUNITIES], adventureworks:DIR or csv:DIR")
    _add_state(seed)
    return parser


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of the sandboxes' files")


def _port(text: str) -> int:
    port = int(text) if text.isdigit() else -1
    if not 0 <= port < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is no port: take 0 to 65535")
    return port


def _serve(arguments: argparse.Namespace) -> int:
    from sandbox.common.fault_routes import FaultFileError

    try:
        if arguments.command == "salesforce":
            from sandbox.salesforce import app as salesforce

            salesforce.main(arguments)
        else:
            from sandbox.d365 import app as d365

            d365.main(arguments)
    except FaultFileError as problem:
        print(problem, file=sys.stderr)
        return COULD_NOT_RUN
    return 0


def _seed(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from sandbox.seeds.filling import fill
    from sandbox.seeds.seed import SeedError

    try:
        filled = fill(arguments.spec, arguments.state, Console(stderr=True))
    except SeedError as problem:
        print(problem, file=sys.stderr)
        return COULD_NOT_RUN
    print(filled.as_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
