"""`streamwarden policy`: everything about documents, without Kafka."""

from __future__ import annotations

from .lazy import Lazy, LazyGroup

__all__ = ["policy"]

policy = LazyGroup(
    "policy",
    {
        "check": Lazy("policy_check:check", "tell every problem in directories of policies"),
        "test": Lazy("policy_test:test", "run the cases of their tests documents"),
        "explain": Lazy("policy_explain:explain", "say why an event is decided as it is"),
        "show": Lazy("policy_show:show", "show policies as sentences, CEL or JSON"),
        "diff": Lazy("policy_diff:diff", "say what changed between two sets of policies"),
        "fmt": Lazy("policy_fmt:fmt", "lay documents out in one way, with their comments"),
        "import": Lazy("policy_import:import_rules", "make documents of a data contract's rules"),
        "explain-code": Lazy("policy_check:explain_code", "say what a problem's code means"),
    },
    help="""Check, test, explain, show and compare policies, without Kafka.

  streamwarden policy check policies/
  streamwarden policy test policies/ --junit report.xml
  streamwarden policy explain policies/ --topic payments event.json
""",
)
