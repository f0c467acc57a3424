"""The sandboxes as services: started where no tenant is set, filled once, and what a client needs to reach them."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipelines.services import processes
from pipelines.services.home import Home
from pipelines.services.processes import Service
from tieout.errors import ConfigurationError, SourceUnavailable
from tieout.log_sinks.settings import wants_sandbox

# Credentials of the sandboxes. They open nothing but processes on this machine that hold made-up or public data.
CLIENT_ID = "tieout-sandbox"
CLIENT_SECRET = "sandbox-secret"
TENANT_ID = "11111111-2222-3333-4444-555555555555"

# The list that the sandbox has.
SITE_ID = "contoso.sharepoint.com,8f52f9ad-4f4f-4739-b682-7c0283207937,a8c8bd0a-4c3e-4d26-a1ff-1f6b0a5bd9d5"
LIST_ID = "b57af081-936c-4803-a120-d94887b03864"

PORTS = {"salesforce": (8210, 8211), "d365": (8220, 8221)}
PUBSUB_PORT = 8212
TITLES = {"salesforce": "Salesforce", "d365": "D365"}
_READY_S = 60.0


def is_filled(home: Home) -> bool:
    """Whether a seed was laid. Sandboxes that were only ever started have files, too, but nothing in them."""
    return (home.sandbox / "seed.json").exists()


def seed(home: Home, specification: str) -> bool:
    """Fill both sandboxes unless they are filled. Returns whether anything was filled; progress goes to standard error.

    Raises ConfigurationError when they run, and when the specification cannot be read, in the words of the sandbox.
    """
    if is_filled(home):
        return False
    if any(processes.running(home, f"sandbox-{system}") for system in PORTS):
        raise ConfigurationError(
            "The sandboxes run, and they are empty. Stop them with `tieout down`, then give --seed again."
        )
    done = subprocess.run(
        processes.python("sandbox", "seed", specification, "--state", str(home.sandbox)),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **_environment()},
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(f"The sandboxes could not be filled with {specification!r}; the reason stands above.")
    return True


def start(home: Home, system: str, faults: Path | None = None) -> Service:
    """Start the sandbox of `system`, with the rules of faults in a file, and wait until it answers."""
    wanted = PORTS[system] + ((PUBSUB_PORT,) if system == "salesforce" else ())
    ports = tuple(map(processes.free_port, wanted))
    try:
        return _start(home, system, ports, faults)
    except SourceUnavailable:
        if tuple(map(processes.free_port, ports)) == ports:
            raise
        # Somebody else took a port between the look and the start; with 0 the sandbox takes free ones itself.
        return _start(home, system, (0,) * len(ports), faults)


def _start(home: Home, system: str, ports: tuple[int, ...], faults: Path | None) -> Service:
    command = ["sandbox", system, "--state", str(home.sandbox)]
    for option, port in zip(("--port", "--tls-port", "--pubsub-port"), ports, strict=False):
        command += [option, str(port)]
    command += [] if faults is None else ["--faults", str(faults.absolute())]
    return processes.start(
        home,
        f"sandbox-{system}",
        processes.python(*command),
        environment=_environment(),
        ready=_ready,
        timeout_s=_READY_S,
    )


def title_of(service: Service) -> str:
    """`Salesforce` or `D365`."""
    return TITLES[service.name.removeprefix("sandbox-")]


def client_environment(services: Mapping[str, Service]) -> dict[str, str]:
    """The variables that point clients at the sandboxes in `services` (by system)."""
    variables: dict[str, str] = {}
    if "salesforce" in services:
        variables |= {
            "SALESFORCE_INSTANCE_URL": services["salesforce"].address,
            "SALESFORCE_CLIENT_ID": CLIENT_ID,
            "SALESFORCE_CLIENT_SECRET": CLIENT_SECRET,
        }
        if pubsub := services["salesforce"].details.get("pubsub"):
            variables["SALESFORCE_PUBSUB_ADDRESS"] = pubsub
    if "d365" in services:
        d365 = services["d365"]
        variables |= {
            "D365_URL": d365.address,
            "D365_TENANT_ID": TENANT_ID,
            "D365_CLIENT_ID": CLIENT_ID,
            "D365_CLIENT_SECRET": CLIENT_SECRET,
            # msal refuses an authority without TLS.
            "D365_AUTHORITY_URL": f"{d365.details['tls_url']}/{TENANT_ID}",
        }
        variables |= _log_sinks(d365.address)
    authorities = {service.details["ca"] for service in services.values()}
    if authorities:
        variables["TIEOUT_CA_BUNDLE"] = authorities.pop()
    return variables


def _log_sinks(address: str) -> dict[str, str]:
    """The sinks of the log that are switched on with the word `sandbox`: both are in the D365 sandbox, and its application signs in."""
    wanted = wants_sandbox(os.environ)
    variables = {"DATAVERSE_URL": address} if "dataverse" in wanted else {}
    if "sharepoint" in wanted:
        variables |= {
            "SHAREPOINT_SITE_ID": SITE_ID,
            "SHAREPOINT_LIST_ID": LIST_ID,
            "SHAREPOINT_GRAPH_URL": address,
        }
    return variables


def _environment() -> dict[str, str]:
    return {
        "SANDBOX_CLIENT_ID": CLIENT_ID,
        "SANDBOX_CLIENT_SECRET": CLIENT_SECRET,
        "SANDBOX_TENANT_ID": TENANT_ID,
    }


def _ready(printed: str) -> tuple[str, Mapping[str, str]] | None:
    for line in printed.splitlines():
        if line.startswith("{") and line.endswith("}"):
            said = json.loads(line)
            if said.get("ready"):
                return said["url"], {name: said[name] for name in ("tls_url", "ca", "pubsub") if name in said}
    return None
