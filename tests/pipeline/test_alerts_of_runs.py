"""What a real run leaves for the alerts, and that it looks at them when it has ended."""

import pytest

from resources.ledger import Ledger
from tests.pipeline.installation import Installation
from tieout.errors import TieoutError


def test_a_run_keeps_the_quota_and_raises_and_ends_its_alerts_by_itself(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failed_runs() -> list[tuple[str, bool]]:
        """(job, whether its alert is over), newest first."""
        with Ledger.opened(installation.database_url or "") as ledger:
            found = ledger.alerts.list(every=True)
        return [(each.subject, each.recovered_at is not None) for each in found if each.rule == "run_failed"]

    monkeypatch.setenv("TIEOUT_SALESFORCE_CALLS_PER_RUN", "6")
    with pytest.raises(TieoutError, match="Incomplete"):
        installation.run()
    after_failure = failed_runs()
    with Ledger.opened(installation.database_url or "") as ledger:
        [quota] = ledger.alert_queries.quotas()
    monkeypatch.delenv("TIEOUT_SALESFORCE_CALLS_PER_RUN")
    installation.run()

    assert after_failure == [("main", False)]
    assert failed_runs() == [("main", True)]
    assert (quota.system, 0 < quota.used < quota.allowed) == ("salesforce", True)
