"""`limits` and `limits/recordCount`: what is left of the org's allowances."""

from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.faults import DAILY_LIMIT, asked_of_call
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, Resource, json_answer, resource

EXCEEDED = "REQUEST_LIMIT_EXCEEDED"
_FIXED = {
    "ConcurrentAsyncGetReportInstances": 200, "DailyAsyncApexExecutions": 250_000, "DailyBulkApiBatches": 15_000,
    "DailyBulkV2QueryFileStorageMB": 976_562, "DailyBulkV2QueryJobs": 10_000, "DailyDeliveredPlatformEvents": 25_000,
    "DailyStreamingApiEvents": 1_000_000, "DataStorageMB": 1024, "FileStorageMB": 1024,
    "HourlyPublishedPlatformEvents": 250_000, "SingleEmail": 5000,
}  # fmt: skip


def limits(org: Org, _call: Call) -> Answer:
    """`GET limits`"""
    daily = int(org.switches["daily_api_limit"])
    allowances = {"DailyApiRequests": {"Max": daily, "Remaining": max(0, daily - org.calls_today())}}
    allowances |= {name: {"Max": most, "Remaining": most} for name, most in _FIXED.items()}
    return json_answer(dict(sorted(allowances.items())))


def record_count(org: Org, call: Call) -> Answer:
    """`GET limits/recordCount?sObjects=Account,Opportunity`"""
    named = [each.strip() for each in call.query.get("sObjects", "").split(",") if each.strip()]
    wanted = [
        each for each in org.objects.values() if not named or each.name.lower() in {name.lower() for name in named}
    ]
    counted = [
        {"count": org.store.connection.execute(f'SELECT count(*) FROM "{each.name}"').fetchone()[0], "name": each.name}
        for each in wanted
    ]
    return json_answer({"sObjects": counted})


RESOURCES: tuple[Resource, ...] = (
    resource(r"limits", GET=limits),
    resource(r"limits/recordCount", GET=record_count),
)


def usage_header(org: Org, *, used_up: bool = False) -> str:
    """The value of Sforce-Limit-Info; `used_up` where the call was refused for the limit, whatever was counted."""
    most = int(org.switches["daily_api_limit"])
    used = max(org.calls_today(), most) if used_up else org.calls_today()
    return f"api-usage={used}/{most}"


def refuse_beyond_limit(org: Org, call: Call) -> None:
    """403 once the daily calls are used up, or when a fault says that they are."""
    is_over = org.calls_today() > int(org.switches["daily_api_limit"])
    if is_over or org.faults.strike((DAILY_LIMIT,), asked_of_call(call)) is not None:
        raise SalesforceError(403, EXCEEDED, "TotalRequests Limit exceeded.")
