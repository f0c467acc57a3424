"""Which sinks are on, by the environment, and what is said of one that cannot be used."""

import pytest

from tieout.errors import ConfigurationError
from tieout.log_sinks.settings import dataverse_settings, sharepoint_settings, wants_sandbox

D365 = {"D365_TENANT_ID": "tenant", "D365_CLIENT_ID": "erp", "D365_CLIENT_SECRET": "secret"}
OWN = {"DATAVERSE_TENANT_ID": "other", "DATAVERSE_CLIENT_ID": "log", "DATAVERSE_CLIENT_SECRET_FILE": "/run/secret"}
URL = {"DATAVERSE_URL": "https://Org.crm4.dynamics.com/"}
LIST = {"SHAREPOINT_SITE_ID": "c.sharepoint.com,1,2", "SHAREPOINT_LIST_ID": "3"}


def test_nothing_set_is_off() -> None:
    assert dataverse_settings({}) is None
    assert sharepoint_settings(D365) is None


def test_a_sink_signs_in_as_the_application_of_d365_unless_it_has_its_own() -> None:
    borrowed, own = dataverse_settings(URL | D365), dataverse_settings(URL | D365 | OWN)

    assert borrowed is not None
    assert own is not None
    assert (borrowed.application.client_id, borrowed.application.secret.value) == ("erp", "secret")
    # The audience to the letter.
    assert borrowed.application.url == "https://org.crm4.dynamics.com"
    assert (own.application.client_id, own.application.secret.where) == ("log", "/run/secret")
    assert own.application.authority_url == "https://login.microsoftonline.com/other"
    assert own.application.variables.client_secret == "DATAVERSE_CLIENT_SECRET"
    assert own.table == "new_integrationlog"


def test_graph_is_that_of_the_public_cloud_unless_told_otherwise() -> None:
    found = sharepoint_settings(LIST | D365)

    assert found is not None
    assert found.application.url == "https://graph.microsoft.com"
    assert found.target == "c.sharepoint.com,1,2 3"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"DATAVERSE_TABLE": "new_log"}, "DATAVERSE_TABLE is set, DATAVERSE_URL is not"),
        (URL, "Set DATAVERSE_TENANT_ID, DATAVERSE_CLIENT_ID and DATAVERSE_CLIENT_SECRET"),
        (URL | OWN | {"DATAVERSE_TABLE": "a) or 1"}, "logical name"),
        (URL | {"DATAVERSE_CLIENT_ID": "log"}, "DATAVERSE_URL is set, DATAVERSE_TENANT_ID is not"),
        ({"DATAVERSE_URL": "http://org.crm4.dynamics.com"} | D365, "plain http"),
        ({"DATAVERSE_URL": "sandbox"} | D365, "no D365 sandbox runs"),
        (URL | D365 | {"D365_AUTHORITY_URL": "https://127.0.0.1:8221/t"}, "is no sandbox, and D365 is one"),
    ],
)
def test_what_is_missing_or_wrong_is_told_with_a_way_out(environment: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        dataverse_settings(environment)

    assert told in str(caught.value)


def test_a_list_needs_its_id() -> None:
    with pytest.raises(ConfigurationError, match="SHAREPOINT_LIST_ID"):
        sharepoint_settings({"SHAREPOINT_SITE_ID": "c"} | D365)


def test_the_word_sandbox_is_known_for_either_switch() -> None:
    assert wants_sandbox({"DATAVERSE_URL": "sandbox", "SHAREPOINT_SITE_ID": "x"}) == ["dataverse"]
    assert wants_sandbox({"SHAREPOINT_SITE_ID": "sandbox"}) == ["sharepoint"]
