"""Alerts: rules as data, what they are judged on, and who is told what, once.

`load_alerts(path)` gives the `AlertFile`; `evaluate(rules, observed, open_alerts, now)` says what is raised, still on and recovered.
"""

from tieout.alerting.evaluate import Due, Evaluation, OpenAlert, due_notice, evaluate
from tieout.alerting.load import load_alerts
from tieout.alerting.model import AlertFile, Rule, SinkSpec

__all__ = [
    "AlertFile",
    "Due",
    "Evaluation",
    "OpenAlert",
    "Rule",
    "SinkSpec",
    "due_notice",
    "evaluate",
    "load_alerts",
]
