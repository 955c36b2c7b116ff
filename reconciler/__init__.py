"""History against policy: what was let through then, judged by the policy of today.

report = reconcile(ReconcileOptions(config={…}, topics=("payments",), bundle=bundle, store=store))
report.exit_status()
"""

from __future__ import annotations

from .options import Progress, ReconcileOptions
from .report import Report
from .run import reconcile

__all__ = ["Progress", "ReconcileOptions", "Report", "reconcile"]
