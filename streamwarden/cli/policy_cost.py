"""What rules can cost at most, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..policy.cel.cost import COST_MAX
from ..policy.condition_checks import RuleCost, costs_of, units_shown
from ..policy.written import Adviser, Written
from .output import Output, escaped

__all__ = ["costs_into", "costs_json", "print_costs"]


def costs_into(costs: list[RuleCost]) -> Adviser:
    """What fills `costs` with those of all rules, the highest first."""

    def advise(written: Written) -> None:
        for policy in written.policies:
            costs.extend(costs_of(policy, written.lists, written.value_types))
        costs.sort(key=lambda each: (-each.cost.units, each.policy, each.rule))

    return advise


def costs_json(costs: Sequence[RuleCost]) -> list[dict[str, object]]:
    """`share` is that of the most which is allowed."""
    return [
        {
            "policy": each.policy,
            "rule": each.rule,
            "units": round(each.cost.units),
            "share": round(each.cost.units / COST_MAX, 6),
            "nesting": each.cost.nesting,
        }
        for each in costs
    ]


def print_costs(costs: Sequence[RuleCost], output: Output) -> None:
    """The rules with the most that one event can cost, in units and as a share of the limit."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rule", no_wrap=True)
    for column in ("units", "of the limit", "loops"):
        table.add_column(column, justify="right")
    for each in costs:
        share = each.cost.units / COST_MAX
        table.add_row(
            Text(escaped(f"{each.policy}/{each.rule}")),
            units_shown(each.cost.units),
            _share(share),
            str(each.cost.nesting),
        )
    output.print(table)


def _share(share: float) -> str:
    if share < 0.001:
        return "under 0.1 %"
    return f"{share * 100:.1f} %" if share <= 10 else "over 1,000 %"
